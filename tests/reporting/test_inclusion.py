"""Inclusion probabilities against sums over all orders of drawing, and against drawing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lwft_bench.reporting.numbers.inclusion import (
    effective_number,
    with_replacement,
    without_replacement,
)
from lwft_bench.strategies.draws import draw_with_replacement


def over_all_orders(probabilities: np.ndarray, count: int) -> np.ndarray:
    included = np.zeros(len(probabilities))
    for order in itertools.permutations(range(len(probabilities)), count):
        share, left = 1.0, 1.0
        for unit in order:
            share *= probabilities[unit] / left
            left -= probabilities[unit]
        included[list(order)] += share
    return included


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    "probabilities",
    [
        [0.2, 0.2, 0.2, 0.2, 0.2],
        [0.5, 0.3, 0.1, 0.05, 0.05],
        [0.97, 0.01, 0.01, 0.005, 0.005],
        [1 - 4e-9, 1e-9, 1e-9, 1e-9, 1e-9],
    ],
)
def test_drawing_without_replacement(probabilities: list[float], count: int) -> None:
    found = without_replacement(np.array(probabilities), count)
    assert found == pytest.approx(over_all_orders(np.array(probabilities), count), abs=1e-6)
    assert found.sum() == pytest.approx(count)


def test_units_of_probability_zero_come_after_all_others() -> None:
    shares = np.array([0.5, 0.5, 0.0, 0.0])
    assert without_replacement(shares, 1).tolist() == pytest.approx([0.5, 0.5, 0, 0])
    assert without_replacement(shares, 2).tolist() == [1, 1, 0, 0]
    assert without_replacement(shares, 3).tolist() == [1, 1, 0.5, 0.5]


def test_inclusion_is_not_the_number_drawn_times_the_probability() -> None:
    shares = np.array([0.7, 0.1, 0.1, 0.1])
    assert without_replacement(shares, 2)[0] == pytest.approx(0.7 + 0.3 * 0.7 / 0.9)
    assert without_replacement(np.full(80, 1 / 80), 8) == pytest.approx(np.full(80, 0.1))


def test_drawing_with_replacement() -> None:
    shares = np.array([0.6, 0.3, 0.1])
    rng = np.random.default_rng(0)
    drawn = np.zeros(3)
    for _ in range(20_000):
        drawn[list(draw_with_replacement(rng, np.log(shares), 2))] += 1
    assert drawn / 20_000 == pytest.approx(with_replacement(shares, 2), abs=0.012)


def test_effective_number() -> None:
    shares = np.array([[0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0, 0], [1, 0, 0, 0]])
    assert effective_number(shares) == pytest.approx([4, 2, 1])
