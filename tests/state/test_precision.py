"""Stochastic rounding, and how much of an update survives."""

from __future__ import annotations

import torch

from lwft_bench.optimizers.random_bits import mix, random_bits, round_stochastically

CPU = torch.device("cpu")


def test_rounded_values_are_bf16_and_right_in_the_mean() -> None:
    value = torch.full((4096,), 1.0 + 2**-7 / 3)  # a third of the way to the next bfloat16
    rounded = round_stochastically(value, mix(0, 1, 2), 0)
    assert torch.equal(rounded, rounded.bfloat16().float())
    assert set(rounded.tolist()) == {1.0, 1.0 + 2**-7}
    share = (rounded > 1).float().mean()
    assert abs(float(share) - 1 / 3) < 4 * (2 / 9 / 4096) ** 0.5


def test_bits_depend_on_key_and_element_and_not_on_the_cut() -> None:
    whole = random_bits(1000, 5, 0, CPU)
    parts = torch.cat([random_bits(600, 5, 0, CPU), random_bits(400, 5, 600, CPU)])
    assert torch.equal(whole, parts)
    assert not torch.equal(whole, random_bits(1000, 6, 0, CPU))
    assert abs(float(whole.float().mean()) / 32767.5 - 1) < 0.1


def test_neighbouring_keys_do_not_give_shifted_bits() -> None:
    first = random_bits(1000, mix(0, 1, 0), 0, CPU)
    second = random_bits(1000, mix(0, 2, 0), 0, CPU)
    for shift in range(-3, 4):
        assert float((first.roll(shift) == second).float().mean()) < 0.01
