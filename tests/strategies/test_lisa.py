import itertools

import numpy as np
import pytest
from scipy import stats

from lwft_bench.schema.errors import UserError
from lwft_bench.strategies.lisa import Lisa, LisaD

NUM_DRAWS = 3000


def lisa(context, **options) -> Lisa:
    strategy = Lisa(Lisa.Options(**options))
    strategy.start(context)
    return strategy


@pytest.mark.parametrize(("num_units", "num_active"), [(8, 1), (8, 2), (22, 5)])
def test_every_layer_is_drawn_equally_often(make_context, num_units, num_active):
    strategy = lisa(make_context(num_units), num_active=num_active)
    counts = np.zeros(num_units)
    for _ in range(NUM_DRAWS):
        counts[list(strategy.select(0).units)] += 1
    expected = NUM_DRAWS * num_active / num_units
    # Without replacement the counts vary less than a multinomial's: (N - gamma) / (N - 1) of it.
    statistic = ((counts - expected) ** 2 / expected).sum()
    statistic *= (num_units - 1) / (num_units - num_active)
    assert 1e-3 < stats.chi2.sf(statistic, num_units - 1) < 1 - 1e-3


def test_successive_draws_are_independent(make_context):
    """Two of eight are drawn again in part with probability 1 - C(6,2)/C(8,2) = 13/28."""
    strategy = lisa(make_context(8), num_active=2)
    draws = [set(strategy.select(0).units) for _ in range(NUM_DRAWS)]
    overlaps = sum(bool(a & b) for a, b in zip(draws[::2], draws[1::2], strict=True))
    assert stats.binomtest(overlaps, NUM_DRAWS // 2, 13 / 28).pvalue > 1e-3


def test_selection(make_context):
    selection = lisa(make_context(4), num_active=3, period=7).select(0)
    assert len(set(selection.units)) == 3
    assert selection.num_steps == 7
    assert selection.probabilities == (0.25,) * 4


def test_all_layers_can_be_active(make_context):
    assert lisa(make_context(4), num_active=4).select(0).units == (0, 1, 2, 3)


def test_golden_selections(make_context):
    strategy = lisa(make_context(8, seed=0), num_active=2)
    selected = [strategy.select(0).units for _ in range(6)]
    assert selected == [(5, 7), (1, 2), (0, 7), (5, 7), (3, 4), (5, 7)]


def test_more_layers_than_there_are_is_refused(make_context):
    with pytest.raises(UserError, match="this model has 4 units"):
        lisa(make_context(4), num_active=5)


def lisa_d(context, **options) -> LisaD:
    strategy = LisaD(LisaD.Options(**options))
    strategy.start(context)
    return strategy


def test_deep_layers_are_drawn_less_often(make_context):
    strategy = lisa_d(make_context(5), num_active=1)
    selection = strategy.select(0)
    assert selection.probabilities == pytest.approx(np.array([5, 4, 3, 2, 1]) / 15)
    counts = np.zeros(5)
    for _ in range(NUM_DRAWS):
        counts[list(strategy.select(0).units)] += 1
    assert stats.chisquare(counts, NUM_DRAWS * np.array([5, 4, 3, 2, 1]) / 15).pvalue > 1e-3


def test_inclusion_of_deep_layers_is_that_of_sequential_draws(make_context):
    weights = np.array([4, 3, 2, 1]) / 10
    expected = np.zeros(4)
    for first, second in itertools.permutations(range(4), 2):
        expected[[first, second]] += weights[first] * weights[second] / (1 - weights[first])
    strategy = lisa_d(make_context(4), num_active=2)
    counts = np.zeros(4)
    for _ in range(NUM_DRAWS):
        counts[list(strategy.select(0).units)] += 1
    standard_error = np.sqrt(expected * (1 - expected) / NUM_DRAWS)
    assert (np.abs(counts / NUM_DRAWS - expected) < 4 * standard_error).all()


def test_golden_selections_of_lisa_d(make_context):
    strategy = lisa_d(make_context(8, seed=0), num_active=2)
    assert [strategy.select(0).units for _ in range(4)] == [(2, 3), (3, 5), (4, 5), (0, 1)]
