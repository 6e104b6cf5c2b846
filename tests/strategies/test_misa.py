"""MISA against its rule: budget, warm-up, weights and averages, with the numbers of LLaMA models."""

from __future__ import annotations

import numpy as np
import pytest

from lwft_bench.strategies.base import Context, Selection, Unit, Window
from lwft_bench.strategies.misa import Misa

LLAMA2_7B = ([4096**2] * 4 + [4096 * 11008] * 3, 32, 6_738_415_616)
"""Sizes of q, k, v, o, gate, up, down; layers; parameters of the whole model."""
LLAMA3_8B = (
    [4096**2, 4096 * 1024, 4096 * 1024, 4096**2] + [4096 * 14336] * 3,
    32,
    8_030_261_248,
)
TINYLLAMA = (
    [2048**2, 2048 * 256, 2048 * 256, 2048**2] + [2048 * 5632] * 3,
    22,
    1_100_048_384,
)


def misa(shape, seed: int = 0, **options) -> Misa:
    sizes, num_layers, total = shape
    units = [
        Unit(layer * len(sizes) + index, f"m{index}", layer, size)
        for layer in range(num_layers)
        for index, size in enumerate(sizes)
    ]
    strategy = Misa(Misa.Options(**options))
    rng = np.random.default_rng(seed)
    strategy.start(Context(units, 10_000, 1000, rng, total_parameters=total))
    return strategy


def four(**options) -> Misa:
    """Four units of one parameter each, so that a root mean square is a norm."""
    return misa(([1] * 4, 1, 4), **options)


def observe(strategy: Misa, norms: list[float], num_steps: int = 1, clip: float = 1.0) -> None:
    table = np.tile(np.array(norms, dtype=np.float64), (num_steps, 1))
    scale = np.full(num_steps, clip)
    strategy.observe(Window(0, table, np.ones(num_steps), clip_scale=scale))


def size(strategy: Misa, selection: Selection) -> int:
    return sum(strategy.context.units[unit].num_parameters for unit in selection.units)


def test_the_first_selection_of_llama2_7b():
    strategy = misa(LLAMA2_7B)
    first = strategy.select(0)
    # q, k, v, o, gate and up of layer 0; its down does not fit, nor does layer 1's v.
    assert first.units == (0, 1, 2, 3, 4, 5, 7, 8)
    assert size(strategy, first) == 190_840_832
    assert size(strategy, first) / LLAMA2_7B[2] == pytest.approx(0.02832, abs=5e-6)


@pytest.mark.parametrize(
    ("shape", "num_selections"), [(LLAMA2_7B, 35), (LLAMA3_8B, 30), (TINYLLAMA, 33)]
)
def test_warm_up_draws_every_module_once_in_selections_of_one_step(shape, num_selections):
    for seed in (0, 1):
        strategy = misa(shape, seed)
        drawn: set[int] = set()
        for step in range(num_selections):
            assert len(drawn) < len(strategy.context.units)
            selection = strategy.select(step)
            assert selection.num_steps == (1 if step < num_selections - 1 else 50 - step)
            drawn |= set(selection.units)
        assert len(drawn) == len(strategy.context.units)
        assert strategy.select(50).num_steps == 50


def test_the_budget_is_never_exceeded():
    strategy = misa(LLAMA3_8B)
    for step in range(300):
        assert size(strategy, strategy.select(step)) <= 0.03 * LLAMA3_8B[2]


@pytest.mark.parametrize(
    ("shape", "mean", "inclusion"),
    [
        (LLAMA2_7B, 7.0, {0.035: range(4), 0.026: (4, 5, 6)}),
        (LLAMA3_8B, 10.7, {0.049: (0, 3), 0.074: (1, 2), 0.030: (4, 5, 6)}),
    ],
)
def test_a_draw_goes_on_after_a_module_that_does_not_fit(shape, mean, inclusion):
    """Small modules are drawn more often than their weight says; all weights are equal here."""
    strategy = misa(shape, eta=0.0, oldest=0)
    for step in range(40):
        strategy.select(step)
    draws = [strategy.select(step).units for step in range(40, 3040)]
    assert np.mean([len(units) for units in draws]) == pytest.approx(mean, abs=0.06)
    kinds = np.bincount([unit % 7 for units in draws for unit in units], minlength=7)
    for expected, members in inclusion.items():
        for kind in members:
            assert kinds[kind] / 32 / len(draws) == pytest.approx(expected, abs=0.002)


def test_weights_with_the_cap():
    strategy = four()
    observe(strategy, [0.0, 1.0, 2.0, 3.0])
    expected = [0.00484, 0.01315, 0.26410, 0.71791]
    assert strategy.probabilities == pytest.approx(expected, abs=5e-6)


def averages(num: int, first_reading: float = 1.0, **options) -> list[float]:
    strategy = four(**options)
    values = []
    for number in range(num):
        observe(strategy, [first_reading if number == 0 else 1.0] * 4, num_steps=1)
        values.append(float(strategy.importance[0]))
    return values


def test_the_average_of_a_constant_is_that_constant():
    assert averages(30) == pytest.approx([1.0] * 30)


def test_the_published_correction_compounds():
    published = averages(9, bias_correction="published")
    expected = [1.0, 2.78, 4.96, 7.06, 8.70, 9.71, 10.08, 9.93, 9.41]
    assert published == pytest.approx(expected, abs=6e-3)
    small_first = averages(60, 0.02, bias_correction="published")
    expected = [0.020, 0.600, 1.393, 2.227, 2.947, 3.467, 3.762, 3.857, 3.795]
    assert small_first[:9] == pytest.approx(expected, abs=6e-4)
    assert small_first[30] == pytest.approx(1, abs=0.1)
    # At c = 0.378 (seven equal modules under a clip of 1) the largest weight is 8.4, later 1.15.
    assert np.exp((0.378 * max(small_first)) ** 2) == pytest.approx(8.4, abs=0.05)
    assert np.exp((0.378 * small_first[-1]) ** 2) == pytest.approx(1.15, abs=0.01)


def test_a_reading_of_the_warm_up_is_fifty_times_too_small_in_the_code():
    for window_mean, expected in (("steps", 1.0), ("period", 0.02)):
        strategy = four(window_mean=window_mean)
        observe(strategy, [1.0] * 4, num_steps=1)
        assert strategy.importance == pytest.approx([expected] * 4)
        strategy = four(window_mean=window_mean)
        observe(strategy, [1.0] * 4, num_steps=50)
        assert strategy.importance == pytest.approx([1.0] * 4)


def test_norms_after_clipping():
    for norms, expected in (("raw", 4.0), ("clipped", 1.0)):
        strategy = four(norms=norms)
        observe(strategy, [4.0] * 4, clip=0.25)
        assert strategy.importance == pytest.approx([expected] * 4)


def test_an_average_of_squares_and_one_of_norms():
    for average, exponent in (("norms", 2.0**2), ("squares", (1 + 9) / 2)):
        strategy = four(average=average)
        table = np.array([[1.0] * 4, [3.0] * 4])
        strategy.observe(Window(0, table, np.ones(2)))
        assert strategy._exponents() == pytest.approx([exponent] * 4)


def test_norms_or_root_mean_squares():
    for scale, expected in (("frobenius", 3.0), ("rms", 1.0)):
        strategy = misa(([9], 1, 9), scale=scale)
        observe(strategy, [1.0])
        assert strategy.importance == pytest.approx([expected])


def test_a_unit_without_a_reading_keeps_its_average():
    strategy = four()
    observe(strategy, [1.0, 2.0, 3.0, 4.0])
    observe(strategy, [np.nan, 2.0, np.nan, 4.0])
    assert strategy.importance == pytest.approx([1.0, 2.0, 3.0, 4.0])


def test_what_was_drawn_longest_ago_is_taken():
    strategy = four(share=0.5, oldest=2)
    assert [strategy.select(step).units for step in range(2)] == [(0, 1), (2, 3)]
    for step in range(2, 8):
        assert strategy.select(step).units == ((0, 1) if step % 2 == 0 else (2, 3))


def test_a_budget_below_any_unit_takes_one_alone():
    strategy = four(share=0.1)
    assert [strategy.select(step).units for step in range(4)] == [(0,), (1,), (2,), (3,)]
