import itertools

import numpy as np
import pytest

from lwft_bench.strategies.frugal import Frugal


def frugal(context, **options) -> Frugal:
    strategy = Frugal(Frugal.Options(**options))
    strategy.start(context)
    return strategy


@pytest.mark.parametrize(("num_units", "count"), [(224, 56), (154, 38), (150, 38), (4, 1)])
def test_a_quarter_of_the_units_half_rounded_to_even(make_context, num_units, count):
    """0.25 * 154 = 38.5 and 0.25 * 150 = 37.5: both 38."""
    assert len(frugal(make_context(num_units)).select(0).units) == count


def test_units_are_drawn_from_all_each_time(make_context):
    strategy = frugal(make_context(40))
    draws = [set(strategy.select(step).units) for step in range(2000)]
    again = [len(a & b) / 10 for a, b in itertools.pairwise(draws)]
    assert np.mean(again) == pytest.approx(0.25, abs=0.01)
    counts = np.bincount([unit for units in draws for unit in units])
    assert counts / 2000 == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("ascending", [(0, 1), (2, 3), (0, 4), (1, 2)]),
        ("descending", [(3, 4), (1, 2), (0, 4), (2, 3)]),
    ],
)
def test_in_turn_and_round(make_context, order, expected):
    strategy = frugal(make_context(5), density=0.4, order=order)
    assert [strategy.select(step).units for step in range(4)] == expected


def test_none_and_all(make_context):
    assert frugal(make_context(5), density=0.0).select(0).units == ()
    assert frugal(make_context(5), density=0.0).may_be_empty
    assert frugal(make_context(5), density=1.0).select(0).units == (0, 1, 2, 3, 4)
