"""Floating-point operations of what runs, operator by operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch

from lwft_bench.memory.formulas import formula_of, multiplies_matrices
from lwft_bench.memory.modes import UncompiledMode

NO_BACKWARD_PASS = -1
"""torch's number of the backward pass that runs, if none does."""

_hooks_of_saved_tensors = getattr(
    torch._C._autograd, "_top_saved_tensors_default_hooks", lambda ignore_tracing: None
)
"""torch's own, which recomputing puts in place; 2.7 does not tell them."""


def in_backward_pass() -> bool:
    """Whether one of torch's backward passes runs."""
    return torch._C._current_graph_task_id() != NO_BACKWARD_PASS


def _computes_again() -> bool:
    """Whether a backward pass runs, and in it what records gradients or keeps tensors for them: an
    autograd.Function within a checkpointed layer records none itself.
    """
    if not in_backward_pass():
        return False
    return torch.is_grad_enabled() or _hooks_of_saved_tensors(True) is not None


class FlopCount(UncompiledMode):
    """Counts the operations of matrix products, convolutions and attention in `total`.

    torch's FlopCounterMode does not go together with accounting memory: the hooks with which it
    follows modules keep alive what a checkpointed layer recomputes. And what its registry lacks it
    leaves out without a word: products in place (`addmm_`) and of experts, the CPU's attention. Here
    an operator that may multiply matrices and has no formula is named in `uncounted`.

    A MemoryAccount sees every operation too and can tell it of them: then it need not be entered, and
    each passes through one mode less.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0
        self.recomputed = 0
        """The part of it that computes a checkpointed layer's activations again: what records gradients
        inside a backward pass."""
        self.uncounted: Counter[str] = Counter()
        """Calls of operators without a formula, by name: the total lacks what they did."""

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self.count(func, args, kwargs, result)
        return result

    def count(
        self, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], result: Any
    ) -> None:
        """Adds an operation that has run."""
        if (formula := formula_of(func)) is not None:
            operations = formula(result, *args, **kwargs)
            self.total += operations
            if _computes_again():
                self.recomputed += operations
        elif multiplies_matrices(func):
            self.uncounted[str(func)] += 1
