import numpy as np
import pytest
from scipy import stats

from lwft_bench.strategies.sweeps import BAdam, Lift


def started(cls, context, **options):
    strategy = cls(cls.Options(**options))
    strategy.start(context)
    return strategy


def visited(strategy, count: int) -> list[int]:
    return [unit for _ in range(count) for unit in strategy.select(0).units]


@pytest.mark.parametrize(
    ("cls", "order", "sweep"),
    [
        (Lift, "front-to-end", [0, 1, 2, 3]),
        (Lift, "end-to-front", [3, 2, 1, 0]),
        (BAdam, "ascending", [0, 1, 2, 3]),
        (BAdam, "descending", [3, 2, 1, 0]),
    ],
)
def test_fixed_orders_repeat(make_context, cls, order, sweep):
    strategy = started(cls, make_context(4), order=order)
    assert visited(strategy, 12) == 3 * sweep


@pytest.mark.parametrize("cls", [Lift, BAdam])
class TestRandomOrder:
    def test_every_unit_once_in_each_sweep(self, make_context, cls):
        strategy = started(cls, make_context(7), order="random")
        sweeps = [visited(strategy, 7) for _ in range(20)]
        assert all(sorted(sweep) == list(range(7)) for sweep in sweeps)
        assert len(set(map(tuple, sweeps))) == 20

    def test_all_orders_come_equally_often(self, make_context, cls):
        strategy = started(cls, make_context(3), order="random")
        orders = [tuple(visited(strategy, 3)) for _ in range(1200)]
        counts = [orders.count(order) for order in set(orders)]
        assert len(counts) == 6
        assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("cls", [Lift, BAdam])
def test_the_start_of_a_sweep_is_marked(make_context, cls):
    strategy = started(cls, make_context(3))
    marks = [strategy.select(0).starts_sweep for _ in range(7)]
    assert marks == [True, False, False, True, False, False, True]


def test_a_sweep_goes_on_after_an_interruption(make_context):
    before = started(Lift, make_context(4))
    visited(before, 6)
    after = started(Lift, make_context(4))
    after.load_state_dict(before.state_dict())
    assert visited(after, 4) == [2, 3, 0, 1]


def test_defaults_are_the_papers():
    assert BAdam.Options().order == "random"
    assert BAdam.Options().period == 100
    assert Lift.Options().order == "front-to-end"


def test_period(make_context):
    assert started(Lift, make_context(4), period=7).select(0).num_steps == 7
    assert started(BAdam, make_context(4), period=9).select(0).num_steps == 9


@pytest.mark.parametrize(
    ("steps_per_epoch", "num_units", "steps"),
    # min(max(n / (B D), 50), 100) with n / B steps an epoch
    [(100, 4, 50), (300, 4, 75), (303, 4, 75), (1000, 4, 100)],
)
def test_badams_own_rule_for_the_period(make_context, steps_per_epoch, num_units, steps):
    context = make_context(num_units)
    context.steps_per_epoch = steps_per_epoch
    assert started(BAdam, context, period="auto").select(0).num_steps == steps


def test_golden_block_epochs(make_context):
    strategy = started(BAdam, make_context(5))
    assert visited(strategy, 10) == [2, 4, 3, 0, 1, 4, 1, 2, 0, 3]


def test_each_layer_gets_its_share_of_the_steps(make_context):
    strategy = started(BAdam, make_context(5), period=10)
    steps = np.zeros(5)
    for _ in range(25):
        selection = strategy.select(0)
        steps[list(selection.units)] += selection.num_steps
    assert (steps == 50).all()
