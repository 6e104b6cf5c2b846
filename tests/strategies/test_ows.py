import numpy as np
import pytest

from lwft_bench.schema.errors import UserError
from lwft_bench.strategies.ows import Ows, OwsNorm, OwsOutlier

NORMS = (12.0, 13.0, 6.0, 5.0, 2.0, 1.0, 1.0, 4.0)


def ows(context, strategy_class: type[Ows] = OwsNorm, **options) -> Ows:
    strategy = strategy_class(strategy_class.Options(**options))
    strategy.start(context)
    return strategy


def with_outliers(context, shares):
    """`measure` gives these percentages of outliers, once."""
    answers = [np.array(shares, dtype=np.float64)]
    asked = []

    def measure(statistic, **options):
        asked.append((statistic, options))
        return answers.pop()

    context.measure = measure
    return context, asked


def test_probabilities_are_the_norms_shares_and_stay(make_context):
    strategy = ows(make_context(8, weight_norms=NORMS), num_active=2, period=7)
    for _ in range(3):
        selection = strategy.select(0)
        assert selection.probabilities == pytest.approx(np.array(NORMS) / 44)
        assert selection.scores == NORMS
        assert selection.num_steps == 7


def test_inclusion_matches_sequential_weighted_draws(make_context):
    num_draws, num_active = 4000, 3
    strategy = ows(make_context(8, weight_norms=NORMS), num_active=num_active)
    rng = np.random.default_rng(1)
    weights = np.array(NORMS) / sum(NORMS)
    included = np.zeros((2, 8))
    for _ in range(num_draws):
        included[0, list(strategy.select(0).units)] += 1
        included[1, rng.choice(8, num_active, replace=False, p=weights)] += 1
    share = included / num_draws
    standard_error = np.sqrt((share * (1 - share) / num_draws).sum(axis=0))
    assert (np.abs(share[0] - share[1]) < 4 * standard_error).all()
    # Far from gamma p, which a draw with replacement would suggest.
    assert (np.abs(share[0] - num_active * weights) > 4 * standard_error).any()


def test_a_layer_of_norm_zero_is_drawn_only_when_all_are(make_context):
    strategy = ows(make_context(3, weight_norms=(1, 0, 3)), num_active=2)
    assert {strategy.select(0).units for _ in range(100)} == {(0, 2)}
    everything = ows(make_context(3, weight_norms=(1, 0, 3)), num_active=3)
    assert everything.select(0).units == (0, 1, 2)


def test_the_norms_of_the_start_survive_an_interruption(make_context):
    """The weights have moved when the run goes on."""
    before = ows(make_context(3, weight_norms=(1, 2, 3)))
    after = ows(make_context(3, weight_norms=(9, 9, 9)))
    before.select(0)
    after.load_state_dict(before.state_dict())
    assert after.select(0).probabilities == before.select(0).probabilities


@pytest.mark.parametrize("norms", [(1, np.nan), (1, np.inf), (0, 0)])
def test_norms_without_probabilities_are_refused(make_context, norms):
    with pytest.raises(UserError, match="no probabilities"):
        ows(make_context(2, weight_norms=norms)).select(0)


def test_golden_selections(make_context):
    strategy = ows(make_context(8, seed=0, weight_norms=NORMS), num_active=2)
    selected = [strategy.select(0).units for _ in range(6)]
    assert selected == [(2, 3), (3, 5), (2, 4), (0, 1), (0, 3), (0, 1)]


class TestOutliers:
    def test_probabilities_are_the_shares_of_outliers_and_stay(self, make_context):
        context, asked = with_outliers(make_context(4), (0.06, 0.02, 0.01, 0.01))
        strategy = ows(context, OwsOutlier, tau=5.0, calibration_batches=3)
        for _ in range(3):
            selection = strategy.select(0)
            assert selection.probabilities == pytest.approx((0.6, 0.2, 0.1, 0.1))
            assert selection.scores == pytest.approx((0.06, 0.02, 0.01, 0.01))
        assert asked == [("outlier_share", {"tau": 5.0, "batches": 3})]

    def test_an_interrupted_run_measures_nothing_anew(self, make_context):
        before = ows(with_outliers(make_context(3), (1, 2, 3))[0], OwsOutlier)
        expected = before.select(0).probabilities
        context, asked = with_outliers(make_context(3), (9, 9, 9))
        after = ows(context, OwsOutlier)
        after.load_state_dict(before.state_dict())
        assert after.select(50).probabilities == expected
        assert asked == []

    def test_inclusion_matches_a_monte_carlo_of_sequential_weighted_draws(self, make_context):
        """With the published scores of LLaMA-2-7B's first and last layers and its middle ones."""
        shares = np.array([0.123, 0.135, 0.058, 0.052, *[0.02] * 20, 0.008, 0.008, 0.038])
        num_draws, num_active = 4000, 5
        context, _ = with_outliers(make_context(len(shares)), shares)
        strategy = ows(context, OwsOutlier, num_active=num_active)
        rng = np.random.default_rng(1)
        weights = shares / shares.sum()
        included = np.zeros((2, len(shares)))
        for _ in range(num_draws):
            included[0, list(strategy.select(0).units)] += 1
            included[1, rng.choice(len(shares), num_active, replace=False, p=weights)] += 1
        share = included / num_draws
        standard_error = np.sqrt((share * (1 - share) / num_draws).sum(axis=0))
        assert (np.abs(share[0] - share[1]) < 4 * standard_error).all()
        assert (np.abs(share[0] - num_active * weights) > 4 * standard_error).any()

    def test_a_model_without_outliers_is_refused(self, make_context):
        """All alike would be LISA under another name."""
        context, _ = with_outliers(make_context(3), (0, 0, 0))
        with pytest.raises(UserError, match="No weight of this model is an outlier") as error:
            ows(context, OwsOutlier).select(0)
        assert "strategy.tau below 13" in str(error.value.hint)

    def test_activations_that_overflow_are_refused(self, make_context):
        context, _ = with_outliers(make_context(2), (np.nan, 1))
        with pytest.raises(UserError, match="not finite"):
            ows(context, OwsOutlier).select(0)
