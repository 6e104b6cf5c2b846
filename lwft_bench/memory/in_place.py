"""What torch does in place, unless a dispatch mode is watching."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import _disable_current_modes

from lwft_bench.memory.modes import UncompiledMode

_aten = torch.ops.aten

_ON_FRESH_ZEROS = frozenset(
    (_aten.index_add.default, _aten.index_put.default, _aten.scatter_add.default)
)
"""What the derivatives of index_select, index and gather call on zeros they have just made."""


class References(NamedTuple):
    """Who refers to a tensor and its storage."""

    cpp: int
    python: int
    storage: int


def in_place_unwatched(
    func: Callable[..., Any], args: Sequence[Any], sole_owner: References
) -> bool:
    """Whether torch, without a dispatch mode, would have put the result where `args[0]` is.

    Under any dispatch mode, and on fake tensors, torch's C++ code avoids in-place operations
    (`isTensorSubclassLike` in ATen/TensorSubclassLikeUtils.h), so a watched step has tensors that
    the unwatched one never has. Most come from gradients that are sums (of a residual stream, of a
    tied weight): the autograd engine adds into the first summand if nobody else holds it
    (`can_accumulate_inplace` in torch/csrc/autograd/input_buffer.cpp). Others come from the mask
    in the math kernel of scaled_dot_product_attention and from the bias of a linear layer.

    All of these are sums whose first summand a single C++ variable holds, which is told from its
    reference counts: a tensor that Python holds, if only on its stack, has more; so has a view,
    which keeps its base.

    Args:
        func: the operation as `__torch_dispatch__` got it. Call this directly from there, before
            running the operation: each Python variable that holds the tensor would be counted.
        args: its positional arguments.
        sole_owner: `references_of_sole_owner()`.
    """
    if func is _aten.add.Tensor:
        if not isinstance(args[0], torch.Tensor):  # a number plus a tensor
            return False
        return _references(args) == sole_owner
    return func in _ON_FRESH_ZEROS and _references(args).python == sole_owner.python


def _references(args: Sequence[Any]) -> References:
    """To the first of the arguments, which must be a tensor."""
    storage = args[0].untyped_storage()
    return References(
        cpp=args[0]._use_count(),
        python=sys.getrefcount(args[0]),
        storage=torch._C._storage_Use_Count(storage._cdata),
    )


@cache
def references_of_sole_owner() -> References:
    """The references, in a dispatch mode, to a tensor that a single C++ variable holds.

    Measured, since the dispatcher's own are among them and differ between versions of torch and of
    Python. Cannot be called in `__torch_dispatch__`, where nothing is recorded for autograd.
    """
    seen = []

    class Recorder(UncompiledMode):
        def __torch_dispatch__(
            self,
            func: Callable[..., Any],
            types: Sequence[type],
            args: tuple[Any, ...] = (),
            kwargs: dict[str, Any] | None = None,
        ) -> Any:
            if func is _aten.add.Tensor:
                seen.append(_references(args))
            return func(*args, **(kwargs or {}))

    with _disable_current_modes(), torch.enable_grad():
        x = torch.ones(2, requires_grad=True)
        y = x.sin() * x.cos()
        with Recorder():
            y.backward(torch.ones(2))
    (sole_owner,) = seen
    return sole_owner
