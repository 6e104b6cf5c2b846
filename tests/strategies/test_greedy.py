import numpy as np

from lwft_bench.strategies import Window
from lwft_bench.strategies.grass import Grass
from lwft_bench.strategies.greedy import Greedy

MGN = np.array([1.0, 2.0, 4.0, 3.0, 0.5, 1.5])
OPTIONS = {"num_active": 2, "period": 2, "refresh": 4, "alpha": 0.5}


def window(grad_rms, first_step: int) -> Window:
    grad_rms = np.atleast_2d(np.asarray(grad_rms, dtype=np.float64))
    return Window(first_step, grad_rms, np.ones(len(grad_rms)), probing=first_step < 0)


def probed(context, cls=Greedy, mgn=MGN, **options):
    strategy = cls(cls.Options(**(OPTIONS | options)))
    strategy.start(context)
    strategy.observe(window(mgn, first_step=-1))
    return strategy


def test_the_largest_train(make_context):
    selection = probed(make_context(6)).select(0)
    assert selection.units == (2, 3)
    assert selection.scores == tuple(MGN)
    assert selection.probabilities is None


def test_of_equal_ones_the_first_train(make_context):
    assert probed(make_context(4), mgn=np.ones(4)).select(0).units == (0, 1)


def test_others_have_their_turn_when_gradients_fall(make_context):
    strategy = probed(make_context(6), period=1, refresh=1, alpha=1)
    readings = np.full(6, np.nan)
    readings[[2, 3]] = 0.1
    strategy.observe(window(readings, first_step=0))
    assert strategy.select(1).units == (1, 5)


def test_it_is_cold_grass(make_context):
    """tau -> 0, over a run with refreshes."""
    greedy = probed(make_context(6))
    grass = probed(make_context(6), Grass, temperature=1e-12)
    gradients = np.random.default_rng(0)
    selected = set()
    for step in range(0, 100, 2):
        selection = greedy.select(step)
        assert grass.select(step).units == selection.units
        selected.add(selection.units)
        readings = np.full((2, 6), np.nan)
        readings[:, list(selection.units)] = 2 * gradients.lognormal(size=(2, 2))
        for strategy in (greedy, grass):
            strategy.observe(window(readings, first_step=step))
    assert len(selected) > 2
