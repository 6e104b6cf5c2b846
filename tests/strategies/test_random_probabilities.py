import numpy as np
import pytest
from scipy import stats

from lwft_bench.schema.errors import UserError
from lwft_bench.strategies import Window
from lwft_bench.strategies.random_probabilities import RandomProbabilities, entropy, of_entropy

MGN = np.array([1.0, 2.0, 4.0, 3.0, 0.5, 1.5])


def started(context, **inner) -> RandomProbabilities:
    strategy = RandomProbabilities(RandomProbabilities.Options(inner={"name": "grass"} | inner))
    strategy.start(context)
    strategy.observe(Window(-1, MGN[None], np.ones(1), probing=True))
    return strategy


@pytest.mark.parametrize("temperature", [0.2, 1.0, 5.0])
def test_probabilities_have_the_entropy_of_the_inner_strategys(make_context, temperature):
    strategy = started(make_context(6), temperature=temperature)
    inner = np.array(strategy.inner.select(0).probabilities)
    own = np.array(strategy.select(0).probabilities)
    assert entropy(own) == pytest.approx(entropy(inner), abs=1e-9)
    assert not np.allclose(own, inner)
    assert not np.allclose(np.sort(own), np.sort(inner))


@pytest.mark.parametrize("wanted", [0.0, 0.01, 1.0, float(np.log(6))])
def test_any_entropy_can_be_had(wanted):
    numbers = np.random.default_rng(0).standard_normal(6)
    found = of_entropy(numbers, wanted)
    assert found.sum() == pytest.approx(1)
    assert entropy(found) == pytest.approx(wanted, abs=1e-8)
    assert (np.argsort(found) == np.argsort(numbers)).all() or wanted in (0.0, np.log(6))


def test_the_entropy_follows_the_inner_strategys(make_context):
    strategy = started(make_context(6), period=5, refresh=5, alpha=1.0, num_active=1)
    before = strategy.select(0)
    readings = np.full((5, 6), np.nan)
    readings[:, before.units[0]] = 50.0
    strategy.observe(Window(0, readings, np.ones(5)))
    inner = strategy.inner.select(5)
    after = strategy.select(5)
    assert entropy(np.array(after.probabilities)) == pytest.approx(
        entropy(np.array(inner.probabilities)), abs=1e-9
    )
    assert after.scores == inner.scores, "of the units they were measured of"
    order = [np.argsort(selection.probabilities).tolist() for selection in (before, after)]
    assert order[0] == order[1], "the preferences themselves are fixed"


def test_preferences_fall_on_every_unit_alike_over_seeds(make_context):
    first = [
        int(np.argmax(started(make_context(6, seed=s)).select(0).probabilities)) for s in range(600)
    ]
    assert stats.chisquare(np.bincount(first, minlength=6)).pvalue > 1e-3


def test_units_are_drawn_by_them(make_context):
    strategy = started(make_context(6), num_active=1, temperature=0.5)
    probabilities = np.array(strategy.select(0).probabilities)
    drawn = [strategy.select(0).units[0] for _ in range(3000)]
    counts = np.bincount(drawn, minlength=6)
    assert stats.chisquare(counts, 3000 * probabilities).pvalue > 1e-3


def test_it_goes_on_after_an_interruption(make_context):
    before, after = started(make_context(6, seed=1)), started(make_context(6, seed=2))
    assert before.select(0).probabilities != after.select(0).probabilities
    after.load_state_dict(before.state_dict())
    assert before.select(0).probabilities == after.select(0).probabilities


def test_an_inner_strategy_without_probabilities_is_refused(make_context):
    strategy = RandomProbabilities(RandomProbabilities.Options(inner="lift"))
    strategy.start(make_context(6))
    with pytest.raises(UserError, match="'lift' gives no probabilities"):
        strategy.select(0)
