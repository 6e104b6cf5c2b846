"""What differs between methods for what the model is, not for what their cards say."""

from __future__ import annotations

from typing import Any

from lwft_bench.adapters.base import Adapter
from lwft_bench.adapters.reach import adapter_reach, unquantised
from lwft_bench.models.loading import COUNTED_AS_SDPA
from lwft_bench.models.parts import ModelParts, find_parts
from lwft_bench.plugins.registry import optimizers
from lwft_bench.schema.cell import Cell
from lwft_bench.state.precision import PRECISIONS
from lwft_bench.training.adapted import empty_adapted_model
from lwft_bench.training.loss import router_loss_weight
from lwft_bench.training.traits import Traits


def model_confounds(cell: Cell, traits: Traits) -> dict[str, Any]:
    """As flat key -> value.

    `adapter.reach`: the share of the layers' own weights that the adapter trains or adapts.
    `adapter.unquantised`: the share of them that an adapter which quantises leaves as they are.
    `optimizer.reach`: the share of what is trained in layers that gets the optimizer's own rule.
    `training.attention`: the implementation that the model has. `training.router_loss`: the weight
    of the routers' auxiliary loss. `memory.choices`: `even` where shapes depend on what routers
    choose, and memory is counted as if they chose all experts equally often. Counted as well, where
    there are any: weights that stay in float32, and those that no gradient reaches, which are left
    frozen.
    """
    adapter, model = empty_adapted_model(cell)
    parts = find_parts(model)
    found: dict[str, Any] = {
        "adapter.reach": _share(adapter_reach(model, adapter)),
        "optimizer.reach": _share(_optimizer_reach(cell, adapter, parts, traits)),
        "training.attention": _attention(cell, traits),
        "training.router_loss": router_loss_weight(model, cell.training.router_loss) or "none",
    }
    if (left := unquantised(model, adapter)) is not None:
        found["adapter.unquantised"] = _share(left)
    parameters = dict(model.named_parameters())
    policy = PRECISIONS[cell.training.precision].weight
    others = [p for p in parameters.values() if p.is_floating_point() and p.dtype != policy]
    if others:
        found["weights.in_other_dtypes"] = sum(parameter.numel() for parameter in others)
    if traits.even_choices:
        found["memory.choices"] = "even"
    if traits.without_gradient:
        unreached = sum(parameters[name].numel() for name in traits.without_gradient)
        found["weights.without_gradient"] = unreached
    return found


def _attention(cell: Cell, traits: Traits) -> str:
    """Kernels that plans count as sdpa are what they are."""
    asked = cell.training.attention
    return asked if asked in COUNTED_AS_SDPA else traits.attention or asked


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _optimizer_reach(cell: Cell, adapter: Adapter, parts: ModelParts, traits: Traits) -> float:
    optimizer = optimizers.build(cell.method.optimizer)
    reached = total = 0
    for layer in parts.layer_parameters:
        for name, parameter in layer.items():
            if adapter.trains(name) and name not in traits.without_gradient:
                rule = optimizer.for_parameter(tuple(parameter.shape), in_layer=True, seed=0)
                total += parameter.numel()
                reached += parameter.numel() * (rule.kind == optimizer.kind)
    return reached / total if total else 0.0
