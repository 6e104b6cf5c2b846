"""ABSignSGD's order, against the numbers that its rule gives by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lwft_bench.strategies.absignsgd import DepthBiased


def order(context, steps: int, **options) -> list[int]:
    strategy = DepthBiased(DepthBiased.Options(**options))
    strategy.start(context)
    selections = [strategy.select(step) for step in range(steps)]
    assert {(len(s.units), s.num_steps) for s in selections} == {(1, 1)}
    return [s.units[0] for s in selections]


def test_the_first_layers_of_small_and_large_models(make_context):
    assert order(make_context(4), 14) == [3, 2, 3, 1, 3, 0, 2, 3, 1, 3, 2, 3, 0, 2]
    expected = [35, 34, 33, 32, 31, 35, 30, 29, 34, 28, 27, 33]
    assert order(make_context(36), 12) == expected


def test_how_often_each_layer_trains(make_context):
    counts = np.bincount(order(make_context(8), 1000))
    assert counts.tolist() == [58, 66, 75, 89, 107, 135, 184, 286]
    costs = np.array([8 + 10 * (8 - index) for index in range(8)])
    shares = (1 / costs) / (1 / costs).sum()
    assert np.bincount(order(make_context(8), 100_000)) / 100_000 == pytest.approx(shares, abs=1e-4)


def test_nothing_is_drawn(make_context):
    assert order(make_context(6, seed=0), 50) == order(make_context(6, seed=1), 50)


@pytest.mark.parametrize(("num_units", "mean"), [(32, 10.9), (36, 12.2)])
def test_how_many_layers_a_backward_pass_goes_through(make_context, num_units, mean):
    """Uniform draws go through (N + 1) / 2: 16.5 of 32."""
    passed = [num_units - unit for unit in order(make_context(num_units), 20_000)]
    assert np.mean(passed) == pytest.approx(mean, abs=0.05)


def test_without_a_cost_of_depth_layers_take_turns(make_context):
    assert order(make_context(5), 10, cost=0.0) == [0, 1, 2, 3, 4] * 2
