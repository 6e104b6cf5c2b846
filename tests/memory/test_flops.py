from __future__ import annotations

import contextlib
import importlib
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from lwft_bench.memory.flops import FlopCount
from lwft_bench.memory.formulas import multiplies_matrices


@pytest.mark.parametrize("mode", [contextlib.nullcontext(), FakeTensorMode()])
def test_matrix_products_by_hand(mode: contextlib.AbstractContextManager[Any]) -> None:
    with mode:
        x, linear = torch.ones(3, 4), nn.Linear(4, 5)
        with FlopCount() as flops:
            linear(x).sum().backward()
    # forward, and the weight's gradient; the input needs none
    assert flops.total == 2 * (2 * 3 * 4 * 5)


def test_agrees_with_the_counter_of_torch() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    x = torch.randn(2, 6, 16, requires_grad=True)
    with sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as theirs:
            layer(x).sum().backward()
        with FlopCount() as ours:
            layer(x).sum().backward()
    assert ours.total == theirs.get_total_flops() > 0


def test_attention_of_the_cpu() -> None:
    """Two products forward; in the backward pass the scores again and four gradients."""
    query, key, value = (torch.randn(2, 3, 8, 4, requires_grad=True) for _ in range(3))
    product = 2 * (2 * 3) * 8 * 8 * 4
    with FlopCount() as flops:
        out = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        assert flops.total == 2 * product
        out.sum().backward()
    assert flops.total == 2 * product + 5 * product


PRODUCT = 2 * 3 * 4 * 5
"""Of [3, 4] and [4, 5]."""


@pytest.mark.parametrize(
    ("name", "call", "expected"),
    [
        (
            "linalg_solve_triangular",
            lambda: torch.linalg.solve_triangular(
                torch.eye(3).expand(2, 3, 3), torch.ones(2, 3, 5), upper=False
            ),
            2 * 3 * 3 * 5,
        ),
        ("addmm_", lambda: torch.zeros(3, 5).addmm_(torch.ones(3, 4), torch.ones(4, 5)), PRODUCT),
        (
            "addmm.out",
            lambda: torch.addmm(
                torch.zeros(5), torch.ones(3, 4), torch.ones(4, 5), out=torch.zeros(3, 5)
            ),
            PRODUCT,
        ),
        (
            "baddbmm_",
            lambda: torch.zeros(2, 3, 5).baddbmm_(torch.ones(2, 3, 4), torch.ones(2, 4, 5)),
            2 * PRODUCT,
        ),
        (
            "addbmm",
            lambda: torch.zeros(3, 5).addbmm(torch.ones(2, 3, 4), torch.ones(2, 4, 5)),
            2 * PRODUCT,
        ),
        ("mv", lambda: torch.ones(3, 4) @ torch.ones(4), 24),
        ("addmv_", lambda: torch.zeros(3).addmv_(torch.ones(3, 4), torch.ones(4)), 24),
        ("dot", lambda: torch.ones(4) @ torch.ones(4), 8),
        ("addr_", lambda: torch.zeros(3, 4).addr_(torch.ones(3), torch.ones(4)), 24),
    ],
)
def test_what_the_registry_of_torch_lacks(name: str, call: Any, expected: int) -> None:
    with FlopCount() as flops:
        call()
    assert (flops.total, dict(flops.uncounted)) == (expected, {})


def grouped_product(library: str) -> Any:
    if library == "torch":
        return getattr(F, "grouped_mm", None) or pytest.skip("torch has none")
    importlib.import_module("transformers.integrations.moe")  # which registers it
    return torch.ops.transformers.grouped_mm_fallback


@pytest.mark.parametrize("library", ["torch", "transformers"])
def test_products_of_experts(library: str) -> None:
    """Six tokens of eight features, for three experts; then the gradients of both operands."""
    tokens = torch.ones(6, 8, dtype=torch.bfloat16, requires_grad=True)
    experts = torch.ones(3, 8, 16, dtype=torch.bfloat16, requires_grad=True)
    ends = torch.tensor([1, 4, 6], dtype=torch.int32)
    with FlopCount() as flops:
        found = grouped_product(library)(tokens, experts, offs=ends)
        found.backward(torch.ones_like(found))
    assert (flops.total, dict(flops.uncounted)) == (3 * 2 * 6 * 8 * 16, {})


class OwnProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(left, right)
        return left @ right

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        left, right = ctx.saved_tensors
        return gradient @ right.T, left.T @ gradient


@pytest.mark.skipif(
    not hasattr(torch._C._autograd, "_top_saved_tensors_default_hooks"),
    reason="this torch does not tell that a function recomputes",
)
def test_functions_with_gradients_of_their_own_are_recomputed_too() -> None:
    left, right = (torch.ones(8, 8, requires_grad=True) for _ in range(2))
    with FlopCount() as flops:
        found = checkpoint(
            lambda left: OwnProduct.apply(left, right).sin(), left, use_reentrant=False
        )
        found.sum().backward()
    product = 2 * 8 * 8 * 8
    assert (flops.total, flops.recomputed) == (4 * product, product)


def test_an_operator_without_a_formula_is_named() -> None:
    """Of torch's own by what they are called, of others always."""

    @torch.library.custom_op("lwft_bench_tests::mystery", mutates_args=())
    def mystery(x: torch.Tensor) -> torch.Tensor:
        return x @ x

    with FlopCount() as flops:
        torch.linalg.svd(torch.eye(3))
        mystery(torch.eye(3))
        torch.eye(3).softmax(0).add_(1)
    assert dict(flops.uncounted) == {
        "aten._linalg_svd.default": 1,
        "lwft_bench_tests.mystery.default": 1,
    }


def test_every_operator_of_torch_that_multiplies_is_known_for_one() -> None:
    """torch's own list of formulas, as a check of the names that are looked for."""
    for packet in flop_registry:
        for overload in getattr(packet, "overloads", lambda: [])():
            assert multiplies_matrices(getattr(packet, overload)), packet


def test_what_is_computed_again_in_the_backward_pass() -> None:
    linear, x = nn.Linear(4, 4, bias=False), torch.ones(3, 4, requires_grad=True)
    with FlopCount() as flops:
        hidden = checkpoint(lambda x: linear(x).sin(), x, use_reentrant=False)
        hidden.sum().backward()
    product = 2 * 3 * 4 * 4
    assert (flops.total, flops.recomputed) == (4 * product, product)
