"""The statistics against formulas and tables worked out independently."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from lwft_bench.reporting.numbers.estimates import SEEDS_PART, PairedDifference
from lwft_bench.reporting.numbers.families import judge
from lwft_bench.reporting.numbers.statistics import crossed_mean, mean_over_seeds, paired_difference
from lwft_bench.reporting.numbers.student import student_quantile
from lwft_bench.reporting.render.formatting import difference


def correctness(seed: int, seeds: int = 4, items: int = 30) -> np.ndarray:
    rng = np.random.default_rng(seed)
    easy = rng.normal(0, 0.3, items)
    return (rng.random((seeds, items)) < 0.5 + easy).astype(float)


@pytest.mark.parametrize(
    ("degrees", "published"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (5, 2.571), (9, 2.262), (30, 2.042), (120, 1.980)],
)
def test_student_quantile_is_that_of_the_printed_tables(degrees: int, published: float) -> None:
    assert student_quantile(0.95, degrees) == pytest.approx(published, abs=5e-4)


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


def test_one_shared_seed_gives_no_interval() -> None:
    paired = paired_difference([correctness(10, seeds=1)], [correctness(11, seeds=1)])
    assert not paired.over_seeds
    assert paired.interval is None


def test_untrained_model_is_paired_with_every_seed() -> None:
    ours, untrained = correctness(12), correctness(13, seeds=1)
    repeated = np.repeat(untrained, len(ours), axis=0)
    assert paired_difference([ours], [untrained]) == paired_difference([ours], [repeated])


def test_interval_is_the_standard_error_with_satterthwaites_degrees_of_freedom() -> None:
    """Worked out from the mean squares of the two-way analysis of variance."""
    table = correctness(6) - correctness(7)
    table[0] += 0.6  # seeds that differ
    seeds, items = table.shape
    by_item, by_seed = table.mean(axis=0), table.mean(axis=1)
    item, seed = by_item.var(ddof=1) / items, by_seed.var(ddof=1) / seeds
    rest = table - by_item - by_seed[:, None] + table.mean()
    rest_of_mean = (rest**2).sum() / ((seeds - 1) * (items - 1)) / (seeds * items)
    assert seed > rest_of_mean
    variance = item + seed - rest_of_mean
    degrees = variance**2 / (item**2 / (items - 1) + SEEDS_PART * seed**2 / (seeds - 1))
    margin = stats.t.ppf(0.975, degrees) * math.sqrt(variance)
    found = PairedDifference(crossed_mean([table]))
    assert found.estimate.degrees == pytest.approx(degrees)
    assert found.interval == pytest.approx((table.mean() - margin, table.mean() + margin))


def test_seeds_that_agree_by_luck_do_not_shrink_the_interval() -> None:
    """All seeds have the same score, on other items: the interval is not a point."""
    ours = np.zeros((3, 30))
    for seed in range(3):
        ours[seed, 3 * seed : 3 * seed + 5] = 1
    found = paired_difference([ours], [np.zeros((3, 30))])
    assert found.estimate.seed_stderr == 0
    assert found.interval is not None
    assert found.interval[1] - found.interval[0] > 0.1


def test_only_the_same_weights_are_identical() -> None:
    """Equal answers of other weights may differ on other items: by 3 in 30, with 95 % confidence."""
    table = correctness(8)
    found = paired_difference([table], [table])
    assert not found.identical
    assert difference(found) == "0.0 (alike)"
    assert found.interval == pytest.approx((-(1 - 0.05 ** (1 / 30)), 1 - 0.05 ** (1 / 30)))
    same = replace(found, same_weights=True)
    assert same.identical and not same.alike
    assert difference(same) == "0.0 (identical)"
    assert same.interval == (0.0, 0.0)
    assert not replace(paired_difference([table], [correctness(9)]), same_weights=True).identical


@pytest.mark.parametrize(("items", "low"), [(2, -0.5528), (12, 0.5582), (600, 0.9900)])
def test_all_right_against_all_wrong_is_as_sure_as_its_items_are_many(
    items: int, low: float
) -> None:
    """A share q of items that say the opposite is missed by n items with probability (1 - q)^n."""
    found = paired_difference([np.ones((3, items))], [np.zeros((3, items))])
    assert found.interval == pytest.approx((low, 1.0), abs=1e-4)
    (judged,) = judge({"it": found}).values()
    assert judged.adjusted == pytest.approx(0.5**items)
    assert judged.beyond_noise == (items > 4)
    assert judged.seeds_needed == (math.inf if items == 2 else None)


def test_items_of_one_template_are_no_more_than_one_item() -> None:
    ones = np.ones((3, 100))
    labels = np.arange(100) // 20
    found = paired_difference([ones], [0 * ones], [labels])
    assert found.estimate.num_sampled == 5
    assert found.interval == pytest.approx((1 - 2 * (1 - 0.05**0.2), 1.0))


def test_intervals_of_seeds_alone_are_students() -> None:
    """Nothing but seeds was sampled, so that the plain formula holds exactly."""
    values = np.array([0.1, 0.25, 0.2, 0.05])
    margin = stats.t.ppf(0.975, 3) * values.std(ddof=1) / 2
    interval = PairedDifference(mean_over_seeds(values)).interval
    assert interval == pytest.approx((0.15 - margin, 0.15 + margin))


def test_no_share_differs_by_more_than_all() -> None:
    table = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    assert paired_difference([table], [0 * table]).interval == (-1.0, 1.0)


def test_clusters_of_one_item_each_change_nothing() -> None:
    table = correctness(14)
    found = crossed_mean([table], [np.arange(table.shape[1])])
    plain = crossed_mean([table])
    assert found.stderr == pytest.approx(plain.stderr)
    assert found.degrees == pytest.approx(plain.degrees)


def test_copies_of_an_item_count_as_one() -> None:
    table = correctness(15, items=12)
    copied = np.repeat(table, 10, axis=1)
    clusters = np.repeat(np.arange(12), 10)
    found, once = crossed_mean([copied], [clusters]), crossed_mean([table])
    assert found.stderr == pytest.approx(once.stderr)
    assert found.degrees == pytest.approx(once.degrees)
    assert crossed_mean([copied]).item_stderr < 0.4 * once.item_stderr


def test_standard_error_holds_for_new_clusters_of_unequal_sizes() -> None:
    rng = np.random.default_rng(16)
    means, variances = [], []
    for _ in range(1000):
        labels = np.repeat(np.arange(24), rng.permutation(np.tile([1, 4, 10], 8)))
        chance = 0.5 + rng.normal(0, 0.2, 24)[labels] + rng.normal(0, 0.02, (4, 1))
        table = (rng.random((4, len(labels))) < chance).astype(float)
        found = crossed_mean([table], [labels])
        means.append(found.mean)
        variances.append(found.stderr**2)
    assert np.mean(variances) == pytest.approx(np.var(means), rel=0.2)
