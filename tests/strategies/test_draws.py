import itertools

import numpy as np
import pytest
from scipy import stats

from lwft_bench.schema.errors import UserError
from lwft_bench.strategies.draws import (
    draw_with_replacement,
    draw_without_replacement,
    require_enough_units,
)


def sequential_probability(drawn: tuple[int, ...], weights: np.ndarray) -> float:
    """Of a set: the sum, over the orders it can be drawn in, of products of conditional shares."""
    total = 0.0
    for order in itertools.permutations(drawn):
        left, probability = weights.sum(), 1.0
        for index in order:
            probability *= weights[index] / left
            left -= weights[index]
        total += probability
    return total


@pytest.mark.parametrize("count", [1, 2, 3])
def test_sets_come_as_often_as_in_sequential_draws(count):
    weights = np.array([8.0, 4.0, 2.0, 1.0, 1.0])
    sets = list(itertools.combinations(range(5), count))
    expected = np.array([sequential_probability(drawn, weights) for drawn in sets])
    assert expected.sum() == pytest.approx(1)

    rng = np.random.default_rng(0)
    num_draws = 5000
    observed = dict.fromkeys(sets, 0)
    for _ in range(num_draws):
        observed[draw_without_replacement(rng, np.log(weights), count)] += 1
    p_value = stats.chisquare(list(observed.values()), expected * num_draws).pvalue
    assert p_value > 1e-3


def test_inclusion_agrees_with_numpys_sequential_draws():
    weights = np.array([0.5, 0.2, 0.1, 0.1, 0.05, 0.05])
    num_draws, count = 4000, 3
    ours, theirs = np.random.default_rng(1), np.random.default_rng(2)
    included = np.zeros((2, len(weights)))
    for _ in range(num_draws):
        included[0, list(draw_without_replacement(ours, np.log(weights), count))] += 1
        included[1, theirs.choice(len(weights), count, replace=False, p=weights)] += 1
    share = included / num_draws
    standard_error = np.sqrt((share * (1 - share) / num_draws).sum(axis=0))
    assert (np.abs(share[0] - share[1]) < 4 * standard_error).all()
    # Not count times the share of the weights, which for the first would be over 1.
    assert share[0, 0] < 1


def test_every_index_is_drawn_when_all_are_asked_for():
    log_weights = np.array([0.0, -np.inf, -1e308, -700.0])
    drawn = draw_without_replacement(np.random.default_rng(0), log_weights, 4)
    assert drawn == (0, 1, 2, 3)


def test_weights_that_underflow_keep_their_order():
    """exp(-2000) is 0 in float64; numpy's choice would refuse or draw uniformly."""
    rng = np.random.default_rng(0)
    log_weights = np.array([-3000.0, -2000.0, 0.0])
    assert {draw_without_replacement(rng, log_weights, 2) for _ in range(200)} == {(1, 2)}


def test_weight_zero_comes_last_and_uniformly():
    rng = np.random.default_rng(0)
    log_weights = np.array([-np.inf, 0.0, -np.inf])
    assert {draw_without_replacement(rng, log_weights, 1) for _ in range(100)} == {(1,)}
    drawn = [draw_without_replacement(rng, log_weights, 2) for _ in range(2000)]
    assert set(drawn) == {(0, 1), (1, 2)}
    assert drawn.count((0, 1)) == pytest.approx(1000, abs=4 * np.sqrt(500))


def test_draws_with_replacement_are_independent():
    """Sets of up to two out of three: {i} with p_i^2, {i, j} with 2 p_i p_j."""
    weights = np.array([0.6, 0.3, 0.1])
    rng = np.random.default_rng(0)
    num_draws = 4000
    drawn = [draw_with_replacement(rng, np.log(weights), 2) for _ in range(num_draws)]
    expected = {(i,): weights[i] ** 2 for i in range(3)}
    expected |= {
        (i, j): 2 * weights[i] * weights[j] for i, j in itertools.combinations(range(3), 2)
    }
    observed = [drawn.count(units) for units in expected]
    assert sum(observed) == num_draws
    p_value = stats.chisquare(observed, num_draws * np.array(list(expected.values()))).pvalue
    assert p_value > 1e-3


def test_weight_zero_is_never_drawn_with_replacement():
    rng = np.random.default_rng(0)
    log_weights = np.array([-np.inf, 0.0])
    assert {draw_with_replacement(rng, log_weights, 2) for _ in range(100)} == {(1,)}


def test_golden_draws():
    rng = np.random.default_rng(0)
    log_weights = np.log([1.0, 2.0, 3.0, 4.0])
    drawn = [draw_without_replacement(rng, log_weights, 2) for _ in range(6)]
    assert drawn == [(2, 3), (2, 3), (2, 3), (1, 3), (2, 3), (0, 1)]


def test_more_units_than_there_are_is_refused():
    with pytest.raises(UserError, match=r"strategy.num_active is 5, but this model has 4 units"):
        require_enough_units(5, 4)
