"""Controls made of the norm gains of one decoder layer: a damage, and a change that is none.

Both work on the normalisations whose whole output goes into linear maps: in a Llama the two before
attention and before the MLP. They are found by watching one forward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from lwft_bench.models.parts import find_parts
from lwft_bench.schema.cell import LayerFactor
from lwft_bench.schema.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PROBE = 8
"""Tokens of the forward pass that is watched."""
LOGIT_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.05}
"""Largest difference of logits, relative to their size, that rounding may make."""

Maps = list[nn.Module]


def multiply_gains(model: PreTrainedModel, change: LayerFactor) -> None:
    """Multiplies the gains of the norms that feed the layer's linear maps.

    Raises:
        UserError: The model has no such layer, or the layer no such norm.
    """
    for norm, _ in _norms_before_maps(model, change.layer):
        _multiply(norm, change.factor)


def rescale(model: PreTrainedModel, change: LayerFactor) -> None:
    """The same gains, and biases, times the factor; the maps that follow them divided by it.

    Raises:
        UserError: The model has no such layer, or its logits changed: something else reads a norm's
            output.
    """
    before = _logits(model)
    for norm, maps in _norms_before_maps(model, change.layer):
        _multiply(norm, change.factor, bias=True)
        for linear in maps:
            with torch.no_grad():
                linear.get_parameter("weight").div_(change.factor)
    largest = float((_logits(model) - before).abs().max() / before.abs().max())
    if not largest <= LOGIT_TOLERANCE.get(before.dtype, 1e-4):
        raise UserError(
            f"rescale of layer {change.layer} changes what the model computes (logits by "
            f"{largest:.1e} of the largest): more than linear maps follow its norms"
        )


def _norms_before_maps(model: PreTrainedModel, layer: int) -> list[tuple[nn.Module, Maps]]:
    """Each norm of the layer that linear maps follow directly, with these maps."""
    layers = find_parts(model).layers
    if layer >= len(layers):
        raise UserError(f"there is no layer {layer}: the model has layers 0 to {len(layers) - 1}")
    modules = [m for m in layers[layer].modules() if not list(m.children())]
    found: dict[nn.Module, Maps] = {m: [] for m in modules if "norm" in type(m).__name__.lower()}
    made: dict[int, nn.Module] = {}
    kept: list[Any] = []  # so that no other tensor gets the place of one that is gone

    def after_norm(norm: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        made[output.data_ptr()] = norm
        kept.append(output)

    def before_map(linear: nn.Module, inputs: tuple[Any, ...]) -> None:
        norm = made.get(inputs[0].data_ptr())
        if norm is not None and inputs[0].numel() == kept_size(norm):
            found[norm].append(linear)

    def kept_size(norm: nn.Module) -> int:
        return next(o.numel() for o in kept if made.get(o.data_ptr()) is norm)

    handles: list[Any] = [norm.register_forward_hook(after_norm) for norm in found]
    for module in modules:
        if module not in found and getattr(module, "weight", torch.empty(0)).dim() == 2:
            handles.append(module.register_forward_pre_hook(before_map))
    try:
        _logits(model)
    finally:
        for handle in handles:
            handle.remove()
    pairs = [(norm, maps) for norm, maps in found.items() if maps]
    if not pairs:
        raise UserError(
            f"layer {layer} has no norm that linear maps follow, and so no gain to change"
        )
    return pairs


def _logits(model: PreTrainedModel) -> torch.Tensor:
    tokens = torch.arange(PROBE, device=model.device).unsqueeze(0)
    call: Callable[..., Any] = model
    with torch.no_grad():
        logits: torch.Tensor = call(input_ids=tokens, use_cache=False).logits
    return logits


def _multiply(norm: nn.Module, factor: float, *, bias: bool = False) -> None:
    """The effective gain, which in some models (Gemma) is 1 + weight, times the factor."""
    weight = norm.get_parameter("weight")
    with torch.no_grad():
        offset = 1.0 if _adds_one(norm, weight) else 0.0
        weight.copy_((weight.float() + offset) * factor - offset)
        if bias and getattr(norm, "bias", None) is not None:
            norm.get_parameter("bias").mul_(factor)


def _adds_one(norm: nn.Module, weight: torch.Tensor) -> bool:
    """Whether a weight of zero still lets something through."""
    before = weight.detach().clone()
    probe = torch.linspace(-1, 1, weight.numel(), dtype=weight.dtype, device=weight.device)
    shift = getattr(norm, "bias", None)
    weight.zero_()
    try:
        output: torch.Tensor = norm(probe.unsqueeze(0))
        return bool(((output - shift if shift is not None else output).abs() > 0).any())
    finally:
        weight.copy_(before)
