import itertools

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from lwft_bench.schema.errors import UserError
from lwft_bench.strategies import Window
from lwft_bench.strategies.grass import Grass, GrassStatic

NORMALISATIONS = ("mean", "max", "sum", "zscore")
MGN = np.array([1.0, 2.0, 4.0, 3.0, 0.5, 1.5])


def window(grad_rms, first_step: int = 0) -> Window:
    grad_rms = np.atleast_2d(np.asarray(grad_rms, dtype=np.float64))
    return Window(
        first_step=first_step,
        grad_rms=grad_rms,
        loss=np.ones(len(grad_rms)),
        probing=first_step < 0,
    )


def probed(make_context, cls=Grass, mgn=MGN, seed=0, **options):
    """A strategy that has seen `mgn` in one probing step."""
    strategy = cls(cls.Options(**options))
    strategy.start(make_context(len(mgn), seed=seed))
    strategy.observe(window(mgn, first_step=-1))
    return strategy


def active(readings: dict[int, list[float]], num_units: int = len(MGN)) -> np.ndarray:
    """[steps, units]: the readings of the active units, NaN elsewhere."""
    grad_rms = np.full((len(next(iter(readings.values()))), num_units), np.nan)
    for unit, column in readings.items():
        grad_rms[:, unit] = column
    return grad_rms


def softmax(scores: np.ndarray) -> np.ndarray:
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


# Probing and probabilities.


def test_mgn_is_the_mean_over_probing_steps(make_context):
    strategy = Grass(Grass.Options(probing_steps=3))
    assert strategy.needs.probing_steps == 3
    assert strategy.needs.gradients == "selected"
    strategy.start(make_context(2))
    strategy.observe(window([[1, 10], [2, 20], [6, 60]], first_step=-3))
    assert strategy.select(0).scores == (3.0, 30.0)


def test_probabilities_are_the_softmax(make_context):
    strategy = probed(make_context, temperature=0.7, normalise="none")
    assert strategy.select(0).probabilities == pytest.approx(softmax(MGN / 0.7))


@pytest.mark.parametrize(
    ("normalise", "scores"),
    [
        ("mean", MGN / 2),
        ("max", MGN / 4),
        ("sum", MGN / 12),
        ("zscore", (MGN - 2) / np.sqrt(np.mean((MGN - 2) ** 2))),
    ],
)
def test_normalisations(make_context, normalise, scores):
    strategy = probed(make_context, temperature=0.5, normalise=normalise)
    assert strategy.select(0).probabilities == pytest.approx(softmax(scores / 0.5))


def test_softmax_does_not_see_a_shift(make_context):
    plain = probed(make_context, normalise="none").select(0)
    shifted = probed(make_context, mgn=MGN + 1000, normalise="none").select(0)
    assert shifted.probabilities == pytest.approx(plain.probabilities)
    assert shifted.units == plain.units


@pytest.mark.parametrize("normalise", NORMALISATIONS)
def test_doubled_loss_leaves_normalised_probabilities_alone(make_context, normalise):
    plain = probed(make_context, normalise=normalise).select(0)
    doubled = probed(make_context, mgn=2 * MGN, normalise=normalise).select(0)
    assert doubled.probabilities == plain.probabilities
    assert doubled.scores == tuple(2 * MGN)


def test_doubled_loss_sharpens_raw_probabilities(make_context):
    plain = np.array(probed(make_context, normalise="none").select(0).probabilities)
    doubled = np.array(probed(make_context, mgn=2 * MGN, normalise="none").select(0).probabilities)
    assert doubled == pytest.approx(plain**2 / (plain**2).sum())
    assert stats.entropy(doubled) < stats.entropy(plain)


@pytest.mark.parametrize("normalise", ["none", *NORMALISATIONS])
def test_hot_draws_are_lisas(make_context, normalise):
    """tau -> infinity: every unit as often as under uniform draws."""
    num_draws, num_active = 2000, 2
    strategy = probed(make_context, temperature=1e9, num_active=num_active, normalise=normalise)
    counts = np.zeros(len(MGN))
    for _ in range(num_draws):
        counts[list(strategy.select(0).units)] += 1
    expected = num_draws * num_active / len(MGN)
    statistic = ((counts - expected) ** 2 / expected).sum()
    statistic *= (len(MGN) - 1) / (len(MGN) - num_active)
    assert stats.chi2.sf(statistic, len(MGN) - 1) > 1e-3


@pytest.mark.parametrize("temperature", [1e-3, 1e-300])
def test_cold_draws_take_the_largest(make_context, temperature):
    strategy = probed(make_context, temperature=temperature, num_active=1)
    assert {strategy.select(0).units for _ in range(100)} == {(2,)}


def test_cold_draws_take_the_largest_in_order(make_context):
    """Though the probability of all but the first has underflowed to zero."""
    strategy = probed(make_context, temperature=1e-4, num_active=3)
    selection = strategy.select(0)
    assert sorted(selection.probabilities) == [0, 0, 0, 0, 0, 1]
    assert {strategy.select(0).units for _ in range(100)} == {(1, 2, 3)}


def test_inclusion_matches_sequential_weighted_draws(make_context):
    num_draws = 4000
    strategy = probed(make_context, temperature=0.5, num_active=2)
    weights = np.array(strategy.select(0).probabilities)
    pairs = list(itertools.permutations(range(len(MGN)), 2))
    expected = np.zeros(len(MGN))
    for first, second in pairs:
        expected[[first, second]] += weights[first] * weights[second] / (1 - weights[first])
    counts = np.zeros(len(MGN))
    for _ in range(num_draws):
        counts[list(strategy.select(0).units)] += 1
    standard_error = np.sqrt(expected * (1 - expected) / num_draws)
    assert (np.abs(counts / num_draws - expected) < 4 * standard_error).all()


def test_with_replacement_equal_draws_collapse(make_context):
    num_draws = 3000
    strategy = probed(make_context, temperature=0.5, num_active=3, replacement=True)
    probabilities = np.array(strategy.select(0).probabilities)
    counts = np.zeros(len(MGN))
    for _ in range(num_draws):
        units = strategy.select(0).units
        assert 1 <= len(units) <= 3
        counts[list(units)] += 1
    expected = 1 - (1 - probabilities) ** 3
    standard_error = np.sqrt(expected * (1 - expected) / num_draws)
    assert (np.abs(counts / num_draws - expected) < 4 * standard_error).all()


def test_floor_is_the_least_probability(make_context):
    plain = np.array(probed(make_context, temperature=0.2).select(0).probabilities)
    floored = probed(make_context, temperature=0.2, floor=0.1).select(0).probabilities
    assert floored == pytest.approx(0.4 * plain + 0.1)
    everything = probed(make_context, mgn=[1.0, 2.0], floor=0.5).select(0)
    assert everything.probabilities == pytest.approx((0.5, 0.5))


def test_a_floor_that_does_not_fit_is_refused(make_context):
    with pytest.raises(UserError, match="which 6 units cannot all have"):
        probed(make_context, floor=0.2)


# Readings that are missing or not finite.


def test_readings_that_are_not_finite_are_left_out(make_context):
    strategy = Grass()
    strategy.start(make_context(3))
    strategy.observe(window([[1, np.nan, np.nan], [3, np.inf, 6]], first_step=-2))
    # The second was never measured: it gets the mean of 2 and 6.
    assert strategy.select(0).scores == (2.0, 4.0, 6.0)


@pytest.mark.parametrize("normalise", ["none", *NORMALISATIONS])
@pytest.mark.parametrize("reading", [np.nan, np.inf, 0.0, 3.0])
def test_equal_or_no_measures_make_the_draw_uniform(make_context, normalise, reading):
    strategy = probed(make_context, mgn=[reading] * 4, normalise=normalise)
    assert strategy.select(0).probabilities == pytest.approx((0.25,) * 4)


def test_a_window_without_readings_changes_nothing(make_context):
    strategy = probed(make_context, period=2, refresh=2, alpha=1)
    strategy.observe(window(np.full((2, len(MGN)), np.nan)))
    assert strategy.select(2).scores == tuple(MGN)


# The moving average.


def test_average_moves_at_each_refresh(make_context):
    strategy = probed(make_context, period=2, refresh=4, alpha=0.25)
    strategy.observe(window(active({0: [10, 20], 1: [30, 50]})))
    assert strategy.select(2).scores == tuple(MGN)
    strategy.observe(window(active({0: [60, 90], 2: [8, 4]}), first_step=2))
    scores = np.array(strategy.select(4).scores)
    # Unit 0 was active in all four steps, 1 and 2 in two of them; the others not at all.
    expected = MGN.copy()
    expected[0] = 0.25 * (10 + 20 + 60 + 90) / 4 + 0.75 * MGN[0]
    expected[1] = 0.25 * (30 + 50) / 2 + 0.75 * MGN[1]
    expected[2] = 0.25 * (8 + 4) / 2 + 0.75 * MGN[2]
    assert scores == pytest.approx(expected, rel=1e-15)
    assert scores[3:].tobytes() == MGN[3:].tobytes()


def test_ages_tell_when_each_unit_was_last_measured(make_context):
    strategy = probed(make_context, period=2, refresh=4)
    assert strategy.select(0).ages == (0,) * len(MGN)
    strategy.observe(window(active({0: [10, 20]})))
    assert strategy.select(2).ages == (2,) * len(MGN)
    strategy.observe(window(active({2: [8, 4]}), first_step=2))
    assert strategy.select(4).ages == (0, 4, 0, 4, 4, 4)
    assert strategy.select(6).ages == (2, 6, 2, 6, 6, 6)


def test_static_estimates_only_age(make_context):
    strategy = probed(make_context, GrassStatic, period=2)
    strategy.observe(window(active({0: [10, 20]})))
    assert strategy.select(2).ages == (2,) * len(MGN)


def test_a_window_starts_anew_after_a_refresh(make_context):
    strategy = probed(make_context, period=2, refresh=2, alpha=1)
    strategy.observe(window(active({0: [10, 20]})))
    strategy.observe(window(active({0: [50, 70]}), first_step=2))
    assert strategy.select(4).scores[0] == 60


def test_alpha_one_is_the_window_mean(make_context):
    strategy = probed(make_context, period=3, refresh=3, alpha=1)
    strategy.observe(window(active({4: [0.1, 0.2, 0.4]})))
    assert strategy.select(3).scores[4] == (0.1 + 0.2 + 0.4) / 3


def test_alpha_zero_is_static(make_context):
    """The same units and probabilities, bit for bit, over a run with refreshes."""
    options = {"num_active": 2, "period": 5, "temperature": 0.5}
    grass = probed(make_context, **options, refresh=10, alpha=0)
    static = probed(make_context, GrassStatic, **options)
    gradients = np.random.default_rng(5)
    for step in range(0, 200, 5):
        selected = grass.select(step)
        assert selected == static.select(step)
        readings = {unit: list(gradients.lognormal(size=5)) for unit in selected.units}
        for strategy in (grass, static):
            strategy.observe(window(active(readings), first_step=step))


def test_refreshed_probabilities_follow_the_gradients(make_context):
    strategy = probed(make_context, period=1, refresh=1, alpha=0.5)
    before = strategy.select(0).probabilities
    strategy.observe(window(active({3: [30.0]})))
    after = strategy.select(1).probabilities
    assert after[3] > before[3]


def test_refresh_must_fall_on_a_draw():
    with pytest.raises(ValidationError, match="refresh must be a multiple of period"):
        Grass.Options(period=20, refresh=50)


def test_golden_selections(make_context):
    strategy = probed(make_context, num_active=2, period=5, refresh=10, alpha=0.5, temperature=0.5)
    selected = []
    for step in range(0, 40, 5):
        selection = strategy.select(step)
        selected.append(selection.units)
        readings = {unit: [1.0 + unit + step] * 5 for unit in selection.units}
        strategy.observe(window(active(readings), first_step=step))
    assert selected == [(2, 3), (2, 5), (1, 5), (2, 3), (1, 5), (2, 5), (3, 5), (2, 5)]
    assert strategy.select(40).scores == (1.0, 14.5, 28.84375, 22.625, 0.5, 29.15625)
