import numpy as np
import pytest

from lwft_bench.schema.errors import UserError
from lwft_bench.strategies import Window
from lwft_bench.strategies.rgn import RelativeGradientNorm

MGN = np.array([1.0, 2.0, 4.0])


def window(grad_rms, first_step: int) -> Window:
    grad_rms = np.atleast_2d(np.asarray(grad_rms, dtype=np.float64))
    return Window(first_step, grad_rms, np.ones(len(grad_rms)), probing=first_step < 0)


def probed(context, weight_rms, **options) -> RelativeGradientNorm:
    """`weight_rms` is what is measured; it may be changed later."""
    context.measure = lambda statistic: np.array({"weight_rms": weight_rms}[statistic])
    strategy = RelativeGradientNorm(
        RelativeGradientNorm.Options(**({"period": 2, "refresh": 4} | options))
    )
    strategy.start(context)
    strategy.observe(window(MGN, first_step=-1))
    return strategy


def test_the_score_is_relative_to_the_weights(make_context):
    selection = probed(make_context(3), [1.0, 1.0, 8.0], normalise="none").select(0)
    assert selection.scores == (1.0, 2.0, 0.5)
    weights = np.exp([1.0, 2.0, 0.5])
    assert selection.probabilities == pytest.approx(weights / weights.sum())


def test_weights_are_measured_again_at_a_refresh(make_context):
    weight_rms = [1.0, 1.0, 8.0]
    strategy = probed(make_context(3), weight_rms, alpha=0.5)
    weight_rms[0] = 2.0
    strategy.observe(window([[3, np.nan, np.nan]] * 2, first_step=0))
    assert strategy.select(2).scores == (1.0, 2.0, 0.5)
    strategy.observe(window([[3, np.nan, np.nan]] * 2, first_step=2))
    assert strategy.select(4).scores == (0.5 * (0.5 * 3 + 0.5 * 1), 2.0, 0.5)


def test_alpha_zero_is_static(make_context):
    weight_rms = [1.0, 1.0, 8.0]
    strategy = probed(make_context(3), weight_rms, alpha=0)
    weight_rms[0] = 2.0
    strategy.observe(window([[3, 3, 3]] * 4, first_step=0))
    assert strategy.select(4).scores == (1.0, 2.0, 0.5)


def test_measured_weights_survive_an_interruption(make_context):
    before = probed(make_context(3), [1.0, 1.0, 8.0])
    after = probed(make_context(3), [5.0, 5.0, 5.0])
    after.load_state_dict(before.state_dict())
    assert after.select(0).scores == (1.0, 2.0, 0.5)


@pytest.mark.parametrize("wrong", [0.0, np.nan, np.inf])
def test_weights_without_a_ratio_are_refused(make_context, wrong):
    with pytest.raises(UserError, match="cannot be taken relative"):
        probed(make_context(3), [1.0, wrong, 1.0])
