import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from lwft_bench.strategies import Window
from lwft_bench.strategies.permuted import Permuted

MGN = np.array([1.0, 2.0, 4.0, 3.0, 0.5, 1.5])


def window(grad_rms, first_step: int) -> Window:
    grad_rms = np.atleast_2d(np.asarray(grad_rms, dtype=np.float64))
    return Window(first_step, grad_rms, np.ones(len(grad_rms)), probing=first_step < 0)


def permuted(context, **inner) -> Permuted:
    strategy = Permuted(Permuted.Options(inner={"name": "grass"} | inner))
    strategy.start(context)
    strategy.observe(window(MGN, first_step=-1))
    return strategy


def trained_for(strategy: Permuted) -> np.ndarray:
    """pi: the unit that trains for each."""
    return strategy.state_dict()["trained"]


def test_all_permutations_come_equally_often(make_context):
    """Fixed points too: each unit trains for each as often."""
    drawn = []
    for seed in range(1200):
        strategy = Permuted(Permuted.Options())
        strategy.start(make_context(3, seed=seed))
        drawn.append(tuple(trained_for(strategy)))
    counts = [drawn.count(one) for one in set(drawn)]
    assert len(counts) == 6  # 3!
    assert stats.chisquare(counts).pvalue > 1e-3


def test_another_unit_trains_with_the_probability_of_the_one_drawn(make_context):
    strategy = permuted(make_context(6), num_active=1, temperature=0.3)
    inner = np.array(strategy.inner.select(0).probabilities)
    pi = trained_for(strategy)
    num_draws, counts = 3000, np.zeros(6)
    for _ in range(num_draws):
        selection = strategy.select(0)
        counts[list(selection.units)] += 1
    assert np.array(selection.probabilities)[pi] == pytest.approx(inner)
    assert stats.chisquare(counts, num_draws * np.array(selection.probabilities)).pvalue > 1e-3
    assert not np.allclose(selection.probabilities, inner)


def test_scores_stay_with_the_units_they_were_measured_of(make_context):
    assert permuted(make_context(6)).select(0).scores == tuple(MGN)


def test_readings_bring_the_unit_up_to_date_that_trained(make_context):
    """The inner strategy draws unit 2, the largest; pi(2) trains, and its m is what moves."""
    options = {"num_active": 1, "temperature": 1e-6, "period": 5, "refresh": 5, "alpha": 1}
    strategy = permuted(make_context(6), **options)
    trained = int(trained_for(strategy)[2])
    selection = strategy.select(0)
    assert selection.units == (trained,)
    readings = np.full((5, 6), np.nan)
    readings[:, trained] = 3.5
    strategy.observe(window(readings, first_step=0))
    after = strategy.select(5)
    expected = MGN.copy()
    expected[trained] = 3.5
    assert after.scores == tuple(expected)
    assert after.ages == tuple(0 if unit == trained else 5 for unit in range(6))
    assert after.units == (trained,)  # unit 2's own m, 4, was not touched: it is drawn again


def test_pi_is_kept_over_an_interruption(make_context):
    before = permuted(make_context(6, seed=1))
    after = permuted(make_context(6, seed=2))
    assert (trained_for(before) != trained_for(after)).any()
    after.load_state_dict(before.state_dict())
    assert (trained_for(before) == trained_for(after)).all()


def test_any_strategy_can_be_inside(make_context):
    strategy = Permuted(Permuted.Options(inner={"name": "lift", "period": 3}))
    strategy.start(make_context(4))
    order = [strategy.select(0) for _ in range(8)]
    pi = trained_for(strategy)
    assert [unit for s in order for unit in s.units] == [*pi, *pi]
    assert [s.starts_sweep for s in order] == [True, False, False, False] * 2
    assert order[0].num_steps == 3
    assert order[0].probabilities is None


def test_it_needs_and_varies_as_its_inner_strategy_does():
    assert Permuted().needs.probing_steps == 10
    assert Permuted(Permuted.Options(inner="adagradselect")).needs.gradients == "all"
    assert Permuted(Permuted.Options(inner="ows-norm")).needs.measure
    assert Permuted(Permuted.Options(inner="greedy")).varies is None
    assert Permuted(Permuted.Options(inner={"name": "fixed"})).varies is False


def test_inner_options_are_checked_and_spelt_out():
    spelt_out = Permuted.Options(inner={"name": "lisa", "period": 7}).inner
    assert spelt_out == {"name": "lisa", "num_active": 2, "period": 7}
    with pytest.raises(ValidationError, match="num_actve"):
        Permuted.Options(inner={"name": "lisa", "num_actve": 1})
    with pytest.raises(ValidationError, match="did you mean 'lisa'"):
        Permuted.Options(inner="lsia")


def test_the_default_is_spelt_out_too():
    assert Permuted.Options().inner["period"] == 25


def test_it_says_what_it_wraps():
    assert Permuted.wraps(Permuted.Options(inner="ows-norm")) == ("ows-norm",)
