"""Sums that torch makes in place, judged by its own profiler on the unwatched computation."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile

from lwft_bench.memory.accounting import MemoryAccount

SIZE = 64
MATRIX = SIZE * SIZE * 4


def residual(w: torch.Tensor) -> torch.Tensor:
    x = w * 2
    for _ in range(2):
        x = x + x.sin() @ x
    return x


def square(w: torch.Tensor) -> torch.Tensor:
    x = w * 2
    return x * x


def shared_gradient(w: torch.Tensor) -> torch.Tensor:
    """Both summands get the very same gradient, so that neither is overwritten."""
    x = w * 2
    return (x + x) * x


def transposed_views(w: torch.Tensor) -> torch.Tensor:
    x = w * 2
    return x.t().sin() + x.t().cos()


def leaf_used_twice(w: torch.Tensor) -> torch.Tensor:
    return w.sin() * w.cos()


def masked_attention(w: torch.Tensor) -> torch.Tensor:
    x = (w * 2)[None, None]
    with sdpa_kernel(SDPBackend.MATH):
        return F.scaled_dot_product_attention(x, x, x, attn_mask=torch.zeros(SIZE, SIZE))


def biased_linear(w: torch.Tensor) -> torch.Tensor:
    x = (w * 2).view(8, 8, SIZE).transpose(0, 1)
    return F.linear(x, w, torch.zeros(SIZE))


def awaited_elsewhere(w: torch.Tensor) -> torch.Tensor:
    """The first summand is also the gradient of `early`, which autograd comes to last."""
    early = w.exp()
    x = w * 2
    return x.sin() + (x + early)


def indexed(w: torch.Tensor) -> torch.Tensor:
    x = w * 2
    rows = torch.arange(SIZE)
    return x[rows] + x.index_select(0, rows) + x.gather(1, rows.expand(SIZE, SIZE))


COMPUTATIONS = [
    residual,
    square,
    shared_gradient,
    transposed_views,
    leaf_used_twice,
    masked_attention,
    biased_linear,
    awaited_elsewhere,
    indexed,
]


class Allocations(MemoryAccount):
    """Counts the matrices that operations add to what is live."""

    num_matrices = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = self.live_bytes
        result = super().__torch_dispatch__(func, types, args, kwargs)
        self.num_matrices += max(0, self.live_bytes - before) // MATRIX
        return result


def run(computation: Callable[[torch.Tensor], torch.Tensor], w: torch.Tensor) -> None:
    computation(w).pow(2).sum().backward()
    w.grad = None


@pytest.mark.parametrize("computation", COMPUTATIONS, ids=lambda f: f.__name__)
def test_account_agrees_with_the_profiler(
    computation: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    w = torch.randn(SIZE, SIZE, requires_grad=True)
    run(computation, w)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        run(computation, w)
    live = peak = num_matrices = 0
    for event in profiled.profiler.kineto_results.events():
        if event.name() == "[memory]":
            live += event.nbytes()
            peak = max(peak, live)
            num_matrices += max(0, event.nbytes()) // MATRIX

    for mode in (contextlib.nullcontext(), FakeTensorMode()):
        with mode:
            weights = torch.randn(SIZE, SIZE, requires_grad=True)
            account = Allocations()
            account.adopt([weights], "weights")
            with account:
                run(computation, weights)
        assert account.num_matrices == num_matrices
        # The profiler also sees numbers made tensors where the dispatcher sees none.
        assert 0 <= peak - (account.peak_bytes - account.live_bytes) <= 64


def test_sums_of_a_hook_take_no_ones_place() -> None:
    """A gradient that a hook only reads stays counted, though C++ holds it but once."""
    p, q = (torch.ones(1024, requires_grad=True) for _ in range(2))
    seen = []

    def hook(parameter: torch.Tensor) -> None:
        if p.grad is not None and q.grad is not None:
            before = account.live_bytes
            total = p.grad + q.grad
            doubled = (total * 2) + total
            seen.append(account.live_bytes - before)
            del total, doubled

    with MemoryAccount() as account:
        for parameter in (p, q):
            parameter.register_post_accumulate_grad_hook(hook)
        (p.sin() * q.sin()).sum().backward()
        assert seen == [2 * 4096]
        assert account.live_bytes == 2 * 4096


def test_a_number_may_be_the_first_summand() -> None:
    """As in PhiMoE's routing: `1.0 + x` on a tensor that nothing else holds."""
    with MemoryAccount() as account:
        total = torch.ops.aten.add.Tensor(1.0, torch.ones(4))
        assert account.live_bytes == 16
    assert total.sum() == 8
