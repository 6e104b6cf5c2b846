from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lwft_bench.memory.flops import FlopCount


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
