"""The statistics against formulas and tables worked out independently."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

from lwft_bench.reporting.numbers.statistics import (
    crossed_mean,
    paired_difference,
    student_t_quantile,
)


def correctness(seed: int, seeds: int = 4, items: int = 30) -> np.ndarray:
    rng = np.random.default_rng(seed)
    easy = rng.normal(0, 0.3, items)
    return (rng.random((seeds, items)) < 0.5 + easy).astype(float)


@pytest.mark.parametrize(
    ("degrees", "published"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (5, 2.571), (9, 2.262), (30, 2.042), (120, 1.980)],
)
def test_student_quantile_is_that_of_the_printed_tables(degrees: int, published: float) -> None:
    assert student_t_quantile(0.95, degrees) == pytest.approx(published, abs=5e-4)


def test_student_quantile_agrees_with_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    for confidence in (0.5, 0.9, 0.95, 0.99):
        for degrees in range(1, 40):
            expected = stats.t.ppf(0.5 + confidence / 2, degrees)
            assert student_t_quantile(confidence, degrees) == pytest.approx(expected, rel=1e-9)


def test_one_seed_has_the_binomial_standard_error() -> None:
    table = correctness(1, seeds=1, items=50)
    estimate = crossed_mean([table])
    share = table.mean()
    assert estimate.mean == share
    assert estimate.stderr == pytest.approx(math.sqrt(share * (1 - share) / 49))
    assert estimate.seed_stderr is None


def test_standard_error_is_that_of_the_two_way_analysis_of_variance() -> None:
    table = correctness(2)
    seeds, items = table.shape
    cells = {(s, i): table[s, i] for s in range(seeds) for i in range(items)}
    grand = sum(cells.values()) / len(cells)
    by_seed = [sum(cells[s, i] for i in range(items)) / items for s in range(seeds)]
    by_item = [sum(cells[s, i] for s in range(seeds)) / seeds for i in range(items)]
    mean_square_seeds = items * sum((m - grand) ** 2 for m in by_seed) / (seeds - 1)
    mean_square_items = seeds * sum((m - grand) ** 2 for m in by_item) / (items - 1)
    rest = sum(
        (value - by_seed[s] - by_item[i] + grand) ** 2 for (s, i), value in cells.items()
    ) / ((seeds - 1) * (items - 1))
    variance = (mean_square_seeds + mean_square_items - rest) / (seeds * items)
    floor = max(mean_square_seeds, mean_square_items) / (seeds * items)

    estimate = crossed_mean([table])

    assert estimate.mean == pytest.approx(grand)
    assert estimate.seed_stderr == pytest.approx(statistics.stdev(by_seed) / math.sqrt(seeds))
    assert estimate.item_stderr == pytest.approx(statistics.stdev(by_item) / math.sqrt(items))
    assert estimate.stderr == pytest.approx(math.sqrt(max(variance, floor)))


def test_standard_error_matches_the_spread_of_repeated_experiments() -> None:
    """New items and seeds each time; a plain sum of both variances would be 1.4 times too large."""
    rng = np.random.default_rng(3)
    seeds, items = 5, 40
    means, variances = [], []
    for _ in range(1500):
        chance = 0.5 + rng.normal(0, 0.15, items) + rng.normal(0, 0.02, (seeds, 1))
        estimate = crossed_mean([(rng.random((seeds, items)) < chance).astype(float)])
        means.append(estimate.mean)
        variances.append(estimate.stderr**2)
    assert np.mean(variances) == pytest.approx(np.var(means), rel=0.15)


def test_average_over_benchmarks_is_unweighted_and_shares_seeds() -> None:
    tables = [correctness(4, items=20), correctness(5, items=60)]
    estimate = crossed_mean(tables)
    assert estimate.mean == pytest.approx((tables[0].mean() + tables[1].mean()) / 2)
    seed_averages = [(tables[0][s].mean() + tables[1][s].mean()) / 2 for s in range(4)]
    assert estimate.seed_stderr == pytest.approx(statistics.stdev(seed_averages) / 2)
    item_variance = sum(
        statistics.variance(table.mean(axis=0)) / table.shape[1] for table in tables
    )
    assert estimate.item_stderr == pytest.approx(math.sqrt(item_variance) / 2)
    assert estimate.num_items == 80


def test_paired_interval_is_students_over_seeds() -> None:
    stats = pytest.importorskip("scipy.stats")
    ours, other = [correctness(6), correctness(7)], [correctness(8), correctness(9)]
    per_seed = [
        np.mean([a[s].mean() - b[s].mean() for a, b in zip(ours, other, strict=True)])
        for s in range(4)
    ]
    expected = stats.ttest_1samp(per_seed, 0).confidence_interval(0.95)
    paired = paired_difference(ours, other)
    assert (paired.low, paired.high) == pytest.approx((expected.low, expected.high))
    assert paired.over_seeds


def test_one_shared_seed_gives_the_interval_over_items() -> None:
    ours, other = correctness(10, seeds=1), correctness(11, seeds=1)
    differences = (ours - other)[0]
    margin = 1.959964 * statistics.stdev(differences) / math.sqrt(len(differences))
    paired = paired_difference([ours], [other])
    assert not paired.over_seeds
    assert paired.high - paired.estimate.mean == pytest.approx(margin, rel=1e-5)


def test_untrained_model_is_paired_with_every_seed() -> None:
    ours, untrained = correctness(12), correctness(13, seeds=1)
    repeated = np.repeat(untrained, len(ours), axis=0)
    assert paired_difference([ours], [untrained]) == paired_difference([ours], [repeated])


def test_agreeing_seeds_are_not_enough_to_be_beyond_noise() -> None:
    """One item of 20 more, in every seed: the seeds agree to the bit, the items do not."""
    other = np.zeros((3, 20))
    ours = other.copy()
    ours[:, 0] = 1
    paired = paired_difference([ours], [other])
    assert (paired.low, paired.high) == pytest.approx((0.05, 0.05))
    assert not paired.beyond_noise
    ours[:, :10] = 1
    assert paired_difference([ours], [other]).beyond_noise
