"""Floating-point operations of what runs, by torch's own formulas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

aten = torch.ops.aten


class FlopCount(TorchDispatchMode):
    """Counts the operations of matrix products, convolutions and attention in `total`.

    torch's FlopCounterMode does not go together with accounting memory: the hooks with which it
    follows modules keep alive what a checkpointed layer recomputes. Nor does it know the attention
    kernel of the CPU, which is counted here as torch counts those of CUDA: all pairs of tokens,
    masked or not. Enter it before the MemoryAccount, which must come to see an operation first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func is aten._scaled_dot_product_flash_attention_for_cpu.default:
            self.total += sdpa_flop_count(*_shapes(args[:3]))
        elif func is aten._scaled_dot_product_flash_attention_for_cpu_backward.default:
            self.total += sdpa_backward_flop_count(*_shapes(args[:4]))
        elif (formula := flop_registry.get(func._overloadpacket)) is not None:  # type: ignore[attr-defined]
            self.total += formula(*args, **kwargs, out_val=result)
        return result


def _shapes(tensors: Sequence[torch.Tensor]) -> list[torch.Size]:
    return [tensor.shape for tensor in tensors]
