import numpy as np
import pytest
from scipy import stats

from lwft_bench.strategies import Window
from lwft_bench.strategies.adagradselect import AdaGradSelect


def started(context, **options) -> AdaGradSelect:
    strategy = AdaGradSelect(AdaGradSelect.Options(**options))
    strategy.start(context)
    return strategy


def window(grad_rms, first_step: int = 0) -> Window:
    grad_rms = np.atleast_2d(np.asarray(grad_rms, dtype=np.float64))
    return Window(first_step=first_step, grad_rms=grad_rms, loss=np.ones(len(grad_rms)))


def test_it_asks_for_the_gradients_of_all_units():
    assert AdaGradSelect().needs.gradients == "all"


@pytest.mark.parametrize(
    ("num_units", "share", "expected"), [(10, 0.2, 2), (10, 0.01, 1), (7, 1, 7)]
)
def test_the_share_of_units(make_context, num_units, share, expected):
    strategy = started(make_context(num_units), share=share)
    strategy.observe(window(np.ones(num_units)))
    assert len(strategy.select(0).units) == expected
    assert len(strategy.select(999).units) == expected


def test_the_largest_cumulative_norms_are_explored(make_context):
    strategy = started(make_context(4), share=0.5, decay=0)
    strategy.observe(window([[1, 5, 0, 0], [1, 0, np.nan, 4]]))
    strategy.observe(window([[2, 0, np.inf, 0]], first_step=2))
    selection = strategy.select(3)
    assert selection.units == (0, 1)  # 4 twice: the one on the input side
    # Root mean squares times the square roots of the sizes (1000 parameters each), summed.
    assert selection.scores == pytest.approx(np.array([4, 5, 0, 4]) * np.sqrt(1000))


def test_norms_are_not_divided_by_size(make_context):
    context = make_context(2)
    sizes = (100, 10_000)
    context.units = tuple(
        type(unit)(unit.index, unit.kind, unit.depth, size)
        for unit, size in zip(context.units, sizes, strict=True)
    )
    strategy = started(context, share=0.5, decay=0)
    strategy.observe(window([3, 1]))  # norms 30 and 100
    assert strategy.select(1).units == (1,)


def test_the_first_choice_is_a_draw(make_context):
    first = {started(make_context(4, seed=seed)).select(0).units for seed in range(50)}
    assert len(first) == 4


def test_exploration_decays(make_context):
    """At step t of the first epoch with probability epsilon_0 exp(-lambda t)."""
    step, num_draws = 200, 2000
    strategy = started(make_context(50), share=0.02, epsilon=0.8, decay=0.005)
    strategy.observe(window(np.eye(50)[7]))
    explored = sum(strategy.select(step).probabilities is None for _ in range(num_draws))
    assert stats.binomtest(explored, num_draws, 0.8 * np.exp(-1)).pvalue > 1e-3


def test_later_epochs_only_draw(make_context):
    strategy = started(make_context(4), decay=0)  # an epoch has 500 steps
    strategy.observe(window([1, 2, 3, 4]))
    assert strategy.select(499).probabilities is None
    norms = strategy.select(500).scores
    assert strategy.select(500).probabilities is not None
    strategy.observe(window([9, 9, 9, 9], first_step=500))
    assert strategy.select(501).scores == norms


def test_draws_follow_the_dirichlet_distribution(make_context):
    """Mean and variance of each p_l for Dirichlet(f + delta)."""
    strategy = started(make_context(3), share=0.1, epsilon=0, delta=0.5)
    counts = np.array([6, 2, 0])
    samples = []
    for _ in range(3000):
        strategy.load_state_dict(strategy.state_dict() | {"counts": counts})
        samples.append(strategy.select(0).probabilities)
    expected = stats.dirichlet(counts + 0.5)
    standard_error = np.sqrt(expected.var() / len(samples))
    assert (np.abs(np.mean(samples, axis=0) - expected.mean()) < 4 * standard_error).all()
    assert np.var(samples, axis=0) == pytest.approx(expected.var(), rel=0.2)


def test_units_are_drawn_by_their_mean_share(make_context):
    """Of one draw the inclusion probability is E p_l = (f_l + delta) / sum."""
    strategy = started(make_context(3), share=0.1, epsilon=0, delta=1)
    counts, drawn = np.array([5, 1, 0]), np.zeros(3)
    for _ in range(3000):
        strategy.load_state_dict(strategy.state_dict() | {"counts": counts})
        drawn[list(strategy.select(0).units)] += 1
    assert stats.chisquare(drawn, 3000 * np.array([6, 2, 1]) / 9).pvalue > 1e-3


def test_every_choice_is_counted(make_context):
    strategy = started(make_context(4), share=0.5)
    chosen = np.zeros(4)
    for step in range(30):
        chosen[list(strategy.select(step).units)] += 1
        strategy.observe(window([1, 2, 3, 4], first_step=step))
    assert (strategy.state_dict()["counts"] == chosen).all()


def test_a_small_delta_does_not_underflow(make_context):
    strategy = started(make_context(100), epsilon=0, delta=1e-6)
    selection = strategy.select(0)
    assert sum(selection.probabilities) == pytest.approx(1)
    assert len(selection.units) == 20
