import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from lwft_bench.schema.errors import UserError
from lwft_bench.strategies import Selection
from lwft_bench.strategies.fixed import Fixed, NoUnits
from lwft_bench.strategies.selections import InvalidSelection, validate_selection


def selected(context, **options) -> Selection:
    strategy = Fixed(Fixed.Options(**options))
    strategy.start(context)
    return strategy.select(0)


def test_the_last_units(make_context):
    selection = selected(make_context(6), num_active=2)
    assert selection.units == (4, 5)
    assert selection.num_steps == 1000


def test_units_by_index(make_context):
    assert selected(make_context(6), which=[5, 0, 2], num_active=3).units == (0, 2, 5)


def test_random_units_are_drawn_uniformly(make_context):
    counts = np.zeros(6)
    for seed in range(1200):
        units = selected(make_context(6, seed=seed), which="random", num_active=2).units
        assert len(set(units)) == 2
        counts[list(units)] += 1
    statistic = ((counts - 400) ** 2 / 400).sum() * 5 / 4  # without replacement: (N-1)/(N-gamma)
    assert stats.chi2.sf(statistic, 5) > 1e-3


@pytest.mark.parametrize("which", [(1, 2, 3), (1, 1)])
def test_a_list_of_another_length_is_refused(which):
    with pytest.raises(ValidationError, match=r"which names \d units, but num_active is 2"):
        Fixed.Options(which=which)


def test_units_that_are_not_there_are_refused(make_context):
    with pytest.raises(UserError, match=r"names unit 6, but this model has 6 units"):
        selected(make_context(6), which=[0, 6], num_active=2)
    with pytest.raises(UserError, match="this model has 1 unit "):
        selected(make_context(1), num_active=2)


def test_no_units_at_all(make_context):
    strategy = NoUnits()
    strategy.start(make_context(3))
    selection = strategy.select(0)
    assert selection.units == ()
    validate_selection(selection, 3, may_be_empty=True)
    with pytest.raises(InvalidSelection, match="units is empty"):
        validate_selection(selection, 3)
