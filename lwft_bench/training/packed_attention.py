"""Sequences packed into one row, each of which attention computes by itself.

Every other part of a decoder layer works on single tokens, and attention gets one sequence after the
other: slices of the row's queries, keys and values go through the same kernel as ever, with a causal
mask. So nothing of a step is padded. A block-diagonal mask over the whole row would do the same with the
square of all its tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from lwft_bench.data.masks import unmasked
from lwft_bench.data.micro_batches import Packing
from lwft_bench.models.parts import find_parts
from lwft_bench.schema.errors import UserError, described
from lwft_bench.training.causal_sequences import CausalSequences, takes
from lwft_bench.training.causality import NOISE, embeddings_apart

NAME = "sdpa_by_sequence"
COMPARED = (5, 11, 7)
"""Tokens of the sequences that are compared packed and alone."""
_INSTEAD = "Leave out `training.batching: packed`; `by_length` needs nothing of the model."


def attend_by_sequence(model: nn.Module) -> None:
    """From now on the model takes packed rows beside others.

    Raises:
        UserError: Its attention cannot be exchanged.
    """
    inner: Any = model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]
    used = getattr(inner.config, "_attn_implementation", None)
    if used not in ("sdpa", NAME):
        raise UserError(
            f"training.batching: packed: the model's attention is {used}, and sdpa is needed",
            _INSTEAD,
        )
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    try:
        inner.set_attn_implementation(NAME)
    except ValueError as error:
        raise UserError(f"training.batching: packed: {error}", _INSTEAD) from error


@contextmanager
def attending_by(other: Callable[..., tuple[torch.Tensor, None]]) -> Iterator[None]:
    """Inside, models that take packed rows call `other` in place of `attend`."""
    AttentionInterface.register(NAME, other)
    try:
        yield
    finally:
        AttentionInterface.register(NAME, attend)


def require_exchanged(model: nn.Module) -> None:
    """Runs a model that has no values on packed rows. Some families' code has attention of its own, or
    keeps from its attention what it is given; the rest, which takes values, is told by `require_apart`.

    Args:
        model: On the meta device, after `attend_by_sequence`.

    Raises:
        UserError: Not every layer's attention is told which tokens belong together.
    """
    told: list[bool] = []

    def watched(module: nn.Module, *tensors: Any, **options: Any) -> tuple[torch.Tensor, None]:
        told.append("packing" in options)
        return attend(module, *tensors, **options)

    try:
        with torch.no_grad(), unmasked(), attending_by(watched):
            _packed_logits(model, COMPARED, torch.device("meta"))
    except Exception:
        return  # of a model's own code, which may raise anything where there are no values
    layers = len(find_parts(model).layers)
    if sum(told) < layers:
        raise UserError(
            "training.batching: packed: this model's code lets the attention of "
            f"{sum(told)} of its {layers} layers be told which tokens of a row belong together",
            _INSTEAD,
        )


def require_no_balance(weight: float) -> None:
    """The loss that balances routers counts padding where there is some.

    Raises:
        UserError: It is asked for.
    """
    if weight > 0:
        raise UserError(
            "training.batching: packed: the loss that balances the routers of this model counts padding"
            " too, so that it would be another one",
            f"Set `training.router_loss: off`. {_INSTEAD}",
        )


def require_apart(model: nn.Module, device: torch.device, longest: int) -> None:
    """Compares logits of packed sequences with those of the same sequences alone.

    Nothing of a loss shows whether packed sequences see one another. Logits may hardly show it in a
    model that has learnt nothing yet, so it is asked too whether those of one sequence have a gradient
    with respect to the others' embeddings.

    Args:
        longest: Tokens of the longest sequence that is run: where it is longer than a window of
            the model's, a sequence that is longer is compared too.

    Raises:
        UserError: They do, or the model cannot be run so.
    """
    lengths = (*COMPARED, *_longer_than_windows(model, longest))
    was_training = model.training
    model.eval()
    try:
        packed, alone = _logits(model, lengths, device)
        sees_others = _sees_others(model, device)
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        raise UserError(
            f"training.batching: packed: the model cannot be run so ({described(error)})",
            _INSTEAD,
        ) from error
    finally:
        model.train(was_training)
    allowed = NOISE.get(alone.dtype, 1e-1) * float(alone.float().std())
    if sees_others or float((packed.float() - alone.float()).abs().max()) > allowed:
        raise UserError(
            "training.batching: packed: sequences packed into one row see one another in this model, or"
            " their positions or windows go on from one to the next",
            _INSTEAD,
        )


def _longer_than_windows(model: Any, longest: int) -> list[int]:
    """The length of one more sequence to compare, if any."""
    config = model.config.get_text_config().to_dict()
    windows = [
        value
        for key, value in config.items()
        if isinstance(value, int) and any(word in key for word in ("window", "chunk", "local"))
    ]
    return [min(longest, max(found) + 3)] if (found := [w for w in windows if w < longest]) else []


def _ids(model: Any, lengths: Sequence[int], device: torch.device) -> torch.Tensor:
    size: int = model.get_input_embeddings().weight.shape[0]
    return (torch.arange(sum(lengths), device=device) * 7 + 5) % size


def _packed_logits(model: nn.Module, lengths: Sequence[int], device: torch.device) -> torch.Tensor:
    packing = Packing.of(lengths, device)
    logits: torch.Tensor = model(
        input_ids=_ids(model, lengths, device)[None],
        position_ids=packing.position_ids,
        packing=packing,
        use_cache=False,
    ).logits[0]
    return logits


def _logits(
    model: nn.Module, lengths: Sequence[int], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the sequences packed, and of each alone; each [tokens, vocabulary]."""
    with torch.no_grad(), unmasked():
        alone = [
            model(input_ids=ids[None], use_cache=False).logits[0]
            for ids in _ids(model, lengths, device).split(list(lengths))
        ]
        return _packed_logits(model, lengths, device), torch.cat(alone)


def _sees_others(model: Any, device: torch.device) -> bool:
    """Whether the logits of the sequence between two others depend on their embeddings."""
    before, own, _ = COMPARED
    with torch.enable_grad(), unmasked(), embeddings_apart(model) as embeddings:
        logits = _packed_logits(model, COMPARED, device)[before : before + own]
        (gradient,) = torch.autograd.grad(logits.float().square().sum(), embeddings[:1])
    gradient = gradient.view(sum(COMPARED), -1)
    return bool(gradient[:before].any() or gradient[before + own :].any())


def attend(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    packing: Packing | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """As transformers' sdpa.

    Args:
        query: As key and value: [rows, heads, tokens, dimensions].

    Returns:
        [rows, tokens, heads, dimensions], and no attention weights.
    """
    if packing is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    tensors = (query, key, value)
    if takes(module, tensors, attention_mask, options):
        scaling: float | None = options.get("scaling")
        return CausalSequences.apply(*tensors, packing.lengths, scaling), None
    parts = [tensor.split(packing.lengths, 2) for tensor in tensors]
    attended = [
        sdpa_attention_forward(module, queries, keys, values, mask, **options)[0]
        for queries, keys, values, mask in zip(*parts, _masks(attention_mask, packing), strict=True)
    ]
    return torch.cat(attended, 1), None


def _masks(mask: torch.Tensor | None, packing: Packing) -> Iterator[torch.Tensor | None]:
    """Each sequence's own: a window is as wide wherever it stands in the row."""
    begin = 0
    for length in packing.lengths:
        part = slice(begin, begin + length)
        yield None if mask is None else mask[..., part, part]
        begin += length
