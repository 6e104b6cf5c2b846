import numpy as np
import pytest

from lwft_bench.strategies.hift import Hift


def hift(context, **options) -> Hift:
    strategy = Hift(Hift.Options(**options))
    strategy.start(context)
    return strategy


def visits(strategy: Hift, steps: int) -> list[tuple[int, ...]]:
    return [strategy.select(step).units for step in range(steps)]


@pytest.mark.parametrize(
    ("options", "sweep"),
    [
        ({}, [(0,), (1,), (2,), (3,), (4,)]),
        ({"order": "up2down"}, [(4,), (3,), (2,), (1,), (0,)]),
        ({"group_size": 2}, [(0, 1), (2, 3), (4,)]),
        ({"group_size": 2, "order": "up2down"}, [(3, 4), (1, 2), (0,)]),
        ({"group_size": 9}, [(0, 1, 2, 3, 4)]),
    ],
)
def test_visiting_order(make_context, options, sweep):
    assert visits(hift(make_context(5), **options), 3 * len(sweep)) == 3 * sweep


def test_a_random_order_is_drawn_once(make_context):
    strategy = hift(make_context(6, seed=1), order="random")
    first, second, third = (visits(strategy, 6) for _ in range(3))
    assert first == second == third
    assert sorted(first) == [(unit,) for unit in range(6)]
    assert first != sorted(first)
    assert first != visits(hift(make_context(6, seed=2), order="random"), 6)


@pytest.mark.parametrize("group_size", [1, 2, 4])
def test_one_step_a_group_and_as_many_updates_for_each(make_context, group_size):
    strategy = hift(make_context(8), group_size=group_size)
    selections = [strategy.select(step) for step in range(48)]
    num_groups = 8 // group_size
    assert {selection.num_steps for selection in selections} == {1}
    assert [s.starts_sweep for s in selections] == ([True] + [False] * (num_groups - 1)) * (
        48 // num_groups
    )
    counts = np.bincount([unit for selection in selections for unit in selection.units])
    assert counts.tolist() == [48 // num_groups] * 8
