"""8-bit AdamW: the package's update, in slices."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from lwft_bench.optimizers.adamw8bit import BLOCK, AdamW8bit
from lwft_bench.optimizers.base import Optimizer

LR = 1e-2


def updated(
    optimizer: Optimizer, weight: torch.Tensor, gradients: list[torch.Tensor], cuts: list[int]
) -> torch.Tensor:
    """After a step for each gradient, each part between two cuts by itself."""
    weight = weight.clone()
    for start, stop in pairwise(cuts):
        fields = optimizer.fields((stop - start,), torch.float32)
        state = {field.name: torch.zeros(field.shape, dtype=field.dtype) for field in fields}
        for step, gradient in enumerate(gradients, 1):
            optimizer.update(weight[start:stop], gradient[start:stop], state, step, LR)
    return weight


@pytest.fixture
def adamw8bit() -> AdamW8bit:
    return AdamW8bit(AdamW8bit.Options(weight_decay=0.01))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_slices_at_blocks_give_the_bits_of_the_whole(
    adamw8bit: AdamW8bit, dtype: torch.dtype
) -> None:
    size = 20 * BLOCK + 100
    generator = torch.Generator().manual_seed(0)
    weight, *gradients = torch.randn(6, size, generator=generator).to(dtype)
    whole = updated(adamw8bit, weight, gradients, [0, size])
    cut = updated(adamw8bit, weight, gradients, [0, BLOCK, 4 * BLOCK, 20 * BLOCK, size])
    assert torch.equal(whole, cut)
    assert not torch.equal(
        whole, updated(adamw8bit, weight, gradients, [0, BLOCK + 64, size])
    )  # so that the cuts matter


def test_small_parameters_keep_moments_of_32_bits(adamw8bit: AdamW8bit) -> None:
    small = adamw8bit.for_parameter((4095,), in_layer=True, seed=0)
    assert small.kind == "elementwise"
    assert {field.dtype for field in small.fields((4095,), torch.bfloat16)} == {torch.float32}
    assert adamw8bit.for_parameter((64, 64), in_layer=False, seed=0) is adamw8bit


def test_state_is_a_quarter_of_float32(adamw8bit: AdamW8bit) -> None:
    fields = adamw8bit.fields((2**20,), torch.float32)
    assert sum(field.num_bytes for field in fields) == 2 * 2**20 + 2 * 4 * 2**20 // BLOCK
