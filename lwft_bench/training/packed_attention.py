"""Sequences packed into one row, each of which attention computes by itself.

Every other part of a decoder layer works on single tokens, and attention gets one sequence after the
other: slices of the row's queries, keys and values go through the same kernel as ever, with a causal
mask. So nothing of a step is padded. A block-diagonal mask over the whole row would do the same with the
square of all its tokens.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from lwft_bench.data.masks import unmasked
from lwft_bench.data.micro_batches import Packing
from lwft_bench.schema.errors import UserError, described
from lwft_bench.training.causality import NOISE

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
    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    try:
        inner.set_attn_implementation(NAME)
    except ValueError as error:
        raise UserError(f"training.batching: packed: {error}", _INSTEAD) from error


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


def require_apart(model: nn.Module, device: torch.device) -> None:
    """Compares logits of packed sequences with those of the same sequences alone.

    Nothing of a loss shows whether packed sequences see one another.

    Raises:
        UserError: They do, or the model cannot be run so.
    """
    size: int = model.get_input_embeddings().weight.shape[0]  # type: ignore[operator]
    every = (torch.arange(sum(COMPARED), device=device) * 7 + 5) % size
    packing = Packing.of(COMPARED, device)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), unmasked():
            packed = model(
                input_ids=every[None],
                position_ids=packing.position_ids,
                packing=packing,
                use_cache=False,
            ).logits[0]
            alone = torch.cat(
                [
                    model(input_ids=ids[None], use_cache=False).logits[0]
                    for ids in every.split(COMPARED)
                ]
            )
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        raise UserError(
            f"training.batching: packed: the model cannot be run so ({described(error)})",
            _INSTEAD,
        ) from error
    finally:
        model.train(was_training)
    allowed = NOISE.get(alone.dtype, 1e-1) * float(alone.float().std())
    if float((packed.float() - alone.float()).abs().max()) > allowed:
        raise UserError(
            "training.batching: packed: sequences packed into one row see one another in this model,"
            " or their positions go on from one to the next",
            _INSTEAD,
        )


def _attention(
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
    parts = (tensor.split(packing.lengths, 2) for tensor in (query, key, value))
    attended = [
        sdpa_attention_forward(module, queries, keys, values, None, **options)[0]
        for queries, keys, values in zip(*parts, strict=True)
    ]
    return torch.cat(attended, 1), None
