"""Verdicts over many comparisons: Holm's correction, what could be told, what it would take."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from lwft_bench.reporting.numbers.estimates import PairedDifference
from lwft_bench.reporting.numbers.families import (
    Judged,
    SeedVariance,
    detectable,
    holm,
    judge,
    pooled_seed_variance,
)
from lwft_bench.reporting.numbers.statistics import crossed_mean, mean_over_seeds


def test_holm_is_that_of_r() -> None:
    """`p.adjust(c(0.01, 0.04, 0.03, 0.005, 0.5), "holm")`."""
    assert holm([0.01, 0.04, 0.03, 0.005, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.5])
    assert holm([]) == []
    assert holm([0.7]) == [0.7]


def of_seeds(*values: float) -> PairedDifference:
    return PairedDifference(mean_over_seeds(values))


def test_a_mark_needs_more_the_more_comparisons_there_are() -> None:
    clear = of_seeds(0.050, 0.040, 0.060, 0.030)
    others = {f"equal {number}": of_seeds(0.01, -0.01, 0.02, -0.02) for number in range(60)}
    assert judge({"clear": clear})["clear"].beyond_noise
    among_many = judge({"clear": clear, **others})
    assert not among_many["clear"].beyond_noise
    assert among_many["clear"].verdict == "no"
    assert among_many["clear"].family == 61


def test_one_seed_has_no_verdict_and_is_in_no_family() -> None:
    judged = judge({"one": of_seeds(0.5), "two": of_seeds(0.1, 0.2, 0.15)})
    assert judged["one"].verdict == "undecided: one seed"
    assert not judged["one"].beyond_noise
    assert judged["one"].adjusted is judged["one"].detectable is judged["one"].seeds_needed is None
    assert judged["two"].family == 1


def test_answers_of_the_same_weights_are_no_difference() -> None:
    judged = judge({"same": replace(of_seeds(0.0, 0.0, 0.0), same_weights=True)})["same"]
    assert (judged.verdict, judged.beyond_noise, judged.seeds_needed) == ("identical", False, None)


def test_seeds_that_agree_by_luck_are_judged_by_those_of_all_methods() -> None:
    lucky = of_seeds(0.0201, 0.0200, 0.0199)
    assert judge({"lucky": lucky})["lucky"].beyond_noise
    pooled = SeedVariance(0.02**2, 14)
    judged = judge({"lucky": lucky}, lambda _: pooled)["lucky"]
    assert not judged.beyond_noise
    assert judged.stderr == pytest.approx(math.sqrt(2 * 0.02**2 / 3))
    assert judged.degrees == pytest.approx(14)


def test_pooled_variance_is_that_of_single_seeds_without_what_all_methods_share() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 1, 200)
    found = pooled_seed_variance([shared + rng.normal(0, 0.1, 200) for _ in range(6)])
    assert found is not None
    assert found.variance == pytest.approx(0.01, rel=0.1)
    assert found.degrees == 5 * 199
    assert pooled_seed_variance([shared]) is None
    assert pooled_seed_variance([np.ones(1), np.zeros(1)]) is None


@pytest.mark.parametrize(("degrees", "family"), [(2, 1), (4, 7), (14, 28)])
def test_what_is_detectable_is_found_in_four_of_five_experiments(degrees: int, family: int) -> None:
    rng = np.random.default_rng(1)
    size = detectable(1.0, degrees, family)
    t = rng.normal(size, 1, 40_000) / np.sqrt(rng.chisquare(degrees, 40_000) / degrees)
    critical = stats.t.ppf(1 - 0.025 / family, degrees)
    assert np.mean(np.abs(t) > critical) == pytest.approx(0.8, abs=0.01)


def verdict_at(seeds: int, size: float, rng: np.random.Generator) -> Judged:
    return judge({"it": of_seeds(*rng.normal(size, 0.03, seeds))})["it"]


def test_seeds_needed_are_those_that_simulation_needs() -> None:
    """A difference of two thirds of a standard deviation, seen with five seeds as it is."""
    rng = np.random.default_rng(2)
    values = np.array([-1.2, -0.6, 0.0, 0.6, 1.2])
    values = 0.02 + 0.03 * values / values.std(ddof=1)
    needed = judge({"it": of_seeds(*values)})["it"].seeds_needed
    assert needed is not None
    found = np.mean([verdict_at(int(needed), 0.02, rng).beyond_noise for _ in range(400)])
    assert 0.72 < found < 0.92


def test_where_items_are_the_limit_no_number_of_seeds_is_named() -> None:
    rng = np.random.default_rng(3)
    items = rng.choice([-1.0, 0.0, 1.0], 60)
    from lwft_bench.reporting.numbers.statistics import crossed_mean

    table = np.repeat(items[None], 4, axis=0) + rng.normal(0, 0.01, (4, 60))
    table += 0.01 - table.mean()
    judged = judge({"it": PairedDifference(crossed_mean([table]))})["it"]
    assert judged.verdict == "no"
    assert judged.seeds_needed == math.inf


def test_a_pair_is_judged_alike_from_both_sides() -> None:
    rng = np.random.default_rng(4)
    scores = {name: rng.normal(0.5, 0.02, 4) for name in "abc"}
    pairs = {
        (one, other): of_seeds(*(scores[one] - scores[other]))
        for one, other in combinations(scores, 2)
    }
    for judged in judge(pairs).values():
        assert judged.reversed.paired.estimate.mean == -judged.paired.estimate.mean
        assert judged.reversed.verdict == judged.verdict


def test_two_seeds_find_only_what_their_interval_finds() -> None:
    """With one degree of freedom the interval excludes 0 hardly ever, whatever Holm's p says."""
    rng = np.random.default_rng(0)
    table = (rng.random((2, 400)) < 0.6).astype(float)
    table[1] = np.where(rng.random(400) < 0.9, table[0], 1 - table[0])
    paired = PairedDifference(crossed_mean([table, table[:, ::-1]]))
    judged = judge({"it": paired}, lambda _: SeedVariance(1e-5, 20))["it"]
    assert judged.detectable is not None
    error = stats.t.ppf(0.975, 1) * paired.estimate.stderr
    assert judged.detectable > error > 5 * paired.estimate.stderr
    few = judge({"it": of_seeds(0.04, 0.05)})["it"]
    assert few.verdict == "no"
    assert few.seeds_needed == 3
