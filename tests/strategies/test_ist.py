"""Against the authors' published algorithm (methods as described in docs/methods.md)."""

from collections.abc import Sequence

import numpy as np
import pytest

from lwft_bench.strategies.ist import Ist

NUM_UNITS = 12


class Losses:
    """`measure` for suppressed losses by a formula; remembers the sets that were asked for."""

    def __init__(self, loss) -> None:
        self.loss = loss
        self.asked: list[list[tuple[int, ...]]] = []

    def __call__(self, statistic: str, units: Sequence[tuple[int, ...]], beta: float) -> np.ndarray:
        assert statistic == "suppressed_loss"
        assert beta == 0.25
        self.asked.append(list(units))
        return np.array([self.loss(set(suppressed)) for suppressed in units])


def ist(context, loss=lambda suppressed: 1.0, **options) -> tuple[Ist, Losses]:
    losses = Losses(loss)
    context.measure = losses
    strategy = Ist(Ist.Options(**options))
    strategy.start(context)
    return strategy, losses


def importance(strategy: Ist) -> np.ndarray:
    return strategy.state_dict()["importance"]


def run(strategy: Ist, steps: int) -> np.ndarray:
    """How often each unit trained."""
    counts = np.zeros(NUM_UNITS)
    for step in range(steps):
        counts[list(strategy.select(step).units)] += 1
    return counts


@pytest.mark.parametrize(("num_units", "num_active"), [(1, 1), (3, 1), (4, 1), (8, 2), (22, 5)])
def test_a_quarter_of_the_layers_trains_at_each_step(make_context, num_units, num_active):
    strategy, _ = ist(make_context(num_units))
    for step in range(25):
        selection = strategy.select(step)
        assert len(set(selection.units)) == num_active
        assert selection.num_steps == 1


def test_three_different_halves_are_suppressed_every_ten_steps(make_context):
    strategy, losses = ist(make_context(NUM_UNITS))
    asked_at = []
    for step in range(41):
        before = len(losses.asked)
        strategy.select(step)
        if len(losses.asked) > before:
            asked_at.append(step)
    assert asked_at == [10, 20, 30, 40]
    for sets in losses.asked:
        assert len(set(sets)) == 3
        assert all(len(set(suppressed)) == NUM_UNITS // 2 for suppressed in sets)


def test_an_update_is_the_published_one(make_context):
    """Recomputed from the sets and losses alone; units in no set keep their importance."""
    strategy, losses = ist(make_context(NUM_UNITS), lambda s: 1 + 0.1 * (0 in s) + 0.02 * sum(s))
    expected = np.zeros(NUM_UNITS)
    for step in range(61):
        before = importance(strategy)
        strategy.select(step)
        if step % 10 or step == 0:
            continue
        sets = losses.asked[-1]
        rewards = np.exp([-losses.loss(set(suppressed)) for suppressed in sets])
        centred = rewards - rewards.mean()
        assert abs(centred.sum()) < 1e-15
        share = 1 / (1 + np.exp(-expected))
        for suppressed, reward in zip(sets, centred, strict=True):
            for unit in suppressed:
                expected[unit] += reward * share[unit] * (1 - share[unit]) * 10
        assert importance(strategy) == pytest.approx(expected, abs=1e-14)
        untouched = sorted(set(range(NUM_UNITS)) - {u for s in sets for u in s})
        assert (importance(strategy)[untouched] == before[untouched]).all()
    assert np.abs(expected).max() > 0.1


def test_what_the_loss_does_not_depend_on_is_trained_less(make_context):
    """The sign: its I drifts up, and it trains less often than in a quarter of the steps."""
    strategy, _ = ist(make_context(NUM_UNITS), lambda s: 1 + 0.05 * len(s - {3}))
    counts = run(strategy, 4000)
    assert importance(strategy)[3] == importance(strategy).max() > 0.5
    assert counts[3] / 4000 < 0.2
    others = np.delete(counts, 3) / 4000
    assert others.min() > 0.22
    selection = strategy.select(4001)
    assert selection.probabilities[3] == min(selection.probabilities)
    assert selection.scores[3] == min(selection.scores)


def test_what_matters_most_is_trained_more(make_context):
    strategy, _ = ist(make_context(NUM_UNITS), lambda s: 1 + 0.3 * (5 in s))
    counts = run(strategy, 4000)
    assert importance(strategy)[5] < -0.5
    assert counts[5] == counts.max() > 0.3 * 4000


def test_without_updates_it_is_uniform_and_measures_nothing(make_context):
    strategy, losses = ist(make_context(NUM_UNITS), interval=None)
    counts = run(strategy, 4000)
    assert losses.asked == []
    assert not strategy.needs.measure
    deviation = np.abs(counts / 4000 - 0.25)
    assert (deviation < 4 * np.sqrt(0.25 * 0.75 / 4000)).all()


def test_losses_that_overflow_teach_nothing(make_context):
    strategy, _ = ist(make_context(NUM_UNITS), lambda s: np.nan)
    run(strategy, 30)
    assert not importance(strategy).any()


def test_golden_selections(make_context):
    strategy, _ = ist(make_context(8, seed=0), lambda s: 1 + 0.1 * (0 in s))
    selected = [strategy.select(step).units for step in range(8, 14)]
    assert selected == [(2, 3), (3, 5), (1, 6), (0, 5), (3, 6), (2, 5)]
