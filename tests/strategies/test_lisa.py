import numpy as np
import pytest
from scipy import stats

from lwft_bench.errors import UserError
from lwft_bench.strategies.lisa import Lisa

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
