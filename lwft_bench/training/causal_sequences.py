"""Causal attention of sequences that lie one after the other in a row, on a CPU.

The same kernel on the same values as `scaled_dot_product_attention` of each sequence, without what that
does around it for every one of them: some hundredths of a step of many short sequences, and a
quarter of its dry run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

_aten = torch.ops.aten
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_CHANGING = ("dropout", "softcap", "position_bias", "cache", "output_attentions")
"""Options of an attention function with which it does more, where they are set."""


def takes(
    module: nn.Module,
    tensors: Sequence[torch.Tensor],
    mask: torch.Tensor | None,
    options: Mapping[str, Any],
) -> bool:
    """Whether torch's attention would be its CPU's flash kernel with a causal mask.

    Args:
        tensors: Query, key and value: [1, heads, tokens, dimensions].
    """
    query, key, value = tensors
    causal = options.get("is_causal")
    return (
        mask is None
        and query.device.type == "cpu"
        and (getattr(module, "is_causal", True) if causal is None else causal)
        and not any(options.get(name) for name in _CHANGING)
        and query.dtype in _DTYPES
        and query.shape == key.shape == value.shape
        and all(tensor.stride(-1) == 1 for tensor in tensors)
        and not torch.compiler.is_compiling()
    )


class CausalSequences(torch.autograd.Function):
    """Keeps for the backward pass what the kernel keeps of every sequence."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        lengths: tuple[int, ...],
        scaling: float | None,
    ) -> torch.Tensor:
        """Three of [1, heads, tokens, dimensions] -> [1, tokens, heads, dimensions]."""
        found = [
            _aten._scaled_dot_product_flash_attention_for_cpu(*parts, 0.0, True, scale=scaling)
            for parts in zip(*(t.split(lengths, 2) for t in (query, key, value)), strict=True)
        ]
        ctx.lengths, ctx.scaling = lengths, scaling
        kept = [tensor for pair in found for tensor in pair]
        ctx.save_for_backward(query, key, value, *kept)
        return _joined([output for output, _ in found], lengths).transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[Any, ...]:
        query, key, value, *kept = ctx.saved_tensors
        (gradient,) = grad_outputs
        wholes = (gradient.transpose(1, 2), query, key, value)
        found = [
            _aten._scaled_dot_product_flash_attention_for_cpu_backward(
                *parts, 0.0, True, scale=ctx.scaling
            )
            for parts in zip(
                *(whole.split(ctx.lengths, 2) for whole in wholes),
                kept[::2],
                kept[1::2],
                strict=True,
            )
        ]
        return *(_joined(parts, ctx.lengths) for parts in zip(*found, strict=True)), None, None


def _joined(parts: Sequence[torch.Tensor], lengths: tuple[int, ...]) -> torch.Tensor:
    """Parts of [1, heads, tokens, dimensions] as one, which lies as [1, tokens, heads, dimensions]."""
    _, heads, _, dimensions = parts[0].shape
    joined = parts[0].new_empty(1, sum(lengths), heads, dimensions).transpose(1, 2)
    torch._foreach_copy_(joined.split(lengths, 2), tuple(parts))
    return joined
