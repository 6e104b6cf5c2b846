"""Are verdicts on claims wrong in at most 5 %, and does what they ask for decide? Simulated truths.

As in test_coverage.py each experiment draws new items and new seeds. A few cases run always; all of
them by `pytest -m slow tests/reporting/test_deciding.py`.
"""

from __future__ import annotations

import math
from collections import Counter
from itertools import product

import numpy as np
import pytest

from lwft_bench.reporting.numbers.deciding import Bounds, chance, verdict_of, what_decides
from lwft_bench.reporting.numbers.estimates import CONFIDENCE, Estimate, PairedDifference
from lwft_bench.reporting.numbers.families import holm
from lwft_bench.reporting.numbers.statistics import paired_difference

ABOVE_ZERO = (0.0, math.inf)


def experiment(
    rng: np.random.Generator, items: int, seeds: int, deviation: float, truth: float
) -> PairedDifference:
    """A method minus another; deviation of seeds in points, true difference as a share."""
    difficulty = rng.normal(0.5, 0.2, items).astype(np.float32)
    tables = []
    for gain in (truth, 0.0):
        own = difficulty + rng.normal(0, 0.1, items).astype(np.float32) + gain
        luck = rng.normal(0, deviation / 100, (seeds, 1)).astype(np.float32)
        chances = rng.random((seeds, items), dtype=np.float32)
        tables.append((chances < own + luck).astype(np.float32))
    return paired_difference([tables[0]], [tables[1]])


def decided(found: PairedDifference, bounds: Bounds) -> str:
    """The verdict on a claim that is made alone."""
    assert found.interval is not None
    if chance(found, bounds) >= 1 - CONFIDENCE:
        return "undecided"
    return verdict_of(found.interval, bounds)


def rates(
    number: int, bounds: Bounds, items: int, seeds: int, deviation: float, truth: float
) -> dict[str, float]:
    """Share of each verdict."""
    rng = np.random.default_rng([items, seeds, int(10 * deviation)])
    found: Counter[str] = Counter()
    for _ in range(number):
        found[decided(experiment(rng, items, seeds, deviation, truth), bounds)] += 1
    return {word: found[word] / number for word in ("supported", "contradicted", "undecided")}


def any_wrong(number: int, claims: int, items: int, seeds: int, deviation: float) -> float:
    """Share of families of false claims of which one is supported."""
    rng = np.random.default_rng([claims, items])
    wrong = 0
    for _ in range(number):
        found = [experiment(rng, items, seeds, deviation, 0.0) for _ in range(claims)]
        adjusted = holm([chance(one, ABOVE_ZERO) for one in found])
        wrong += any(
            p < 1 - CONFIDENCE and one.estimate.mean > 0
            for p, one in zip(adjusted, found, strict=True)
        )
    return wrong / number


def seeds_that_decide(items: int, deviation: float, truth: float, number: int) -> int:
    """The fewest with which four of five experiments decide, by simulation."""
    rng = np.random.default_rng(1)

    def power(seeds: int) -> float:
        return float(
            np.mean(
                [
                    decided(found, ABOVE_ZERO) != "undecided"
                    for found in (
                        experiment(rng, items, seeds, deviation, truth) for _ in range(number)
                    )
                ]
            )
        )

    low, high = 2, 64
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= 0.8 else (middle, high)
    return high


def asked_for(items: int, deviation: float, truth: float, pilot: int, number: int) -> float:
    """The median over experiments of a few seeds."""
    rng = np.random.default_rng(2)
    found = [
        what_decides(experiment(rng, items, pilot, deviation, truth), ABOVE_ZERO)
        for _ in range(number)
    ]
    return float(np.median([one.seeds for one in found if one is not None]))


@pytest.mark.parametrize(("items", "seeds", "deviation"), [(600, 3, 2.0), (1319, 5, 1.0)])
def test_verdicts_at_the_border_are_seldom_wrong(items: int, seeds: int, deviation: float) -> None:
    """What is claimed to be above 0 is 0: supported is wrong there, contradicted just above it."""
    found = rates(500, ABOVE_ZERO, items, seeds, deviation, 0.0)
    assert found["supported"] <= 0.05
    assert found["contradicted"] <= 0.05


def test_a_true_claim_is_found_and_a_false_one_refused() -> None:
    assert rates(200, ABOVE_ZERO, 1319, 5, 1.0, 0.06)["supported"] > 0.8
    assert rates(200, ABOVE_ZERO, 1319, 5, 1.0, -0.06)["contradicted"] > 0.8
    assert rates(200, (-0.06, 0.06), 1319, 5, 1.0, 0.0)["supported"] > 0.8


def test_claims_made_together_are_corrected_together() -> None:
    assert any_wrong(150, 6, 600, 3, 2.0) <= 0.05


def test_seeds_that_are_asked_for_decide() -> None:
    need = seeds_that_decide(1319, 3.0, 0.04, 300)
    assert asked_for(1319, 3.0, 0.04, 10, 200) == pytest.approx(need, rel=0.3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("items", "seeds", "deviation"),
    [*product((100, 600, 1319), (3, 5, 10), (0.5, 1.0, 2.0, 3.0))],
)
def test_verdicts_at_the_border_whole(items: int, seeds: int, deviation: float) -> None:
    """Of 3,000 experiments each; 5 % is known to 0.4 points."""
    found = rates(3000, ABOVE_ZERO, items, seeds, deviation, 0.0)
    assert found["supported"] <= 0.05
    assert found["contradicted"] <= 0.05
    inside = rates(3000, (-0.03, 0.03), items, seeds, deviation, 0.03)
    assert inside["supported"] <= 0.05
    assert inside["contradicted"] <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("claims", [2, 6, 12])
def test_claims_made_together_whole(claims: int) -> None:
    assert any_wrong(2000, claims, 600, 3, 2.0) <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("pilot", [3, 5, 10])
@pytest.mark.parametrize(
    ("items", "deviation", "truth"),
    [(600, 2.0, 0.03), (1319, 3.0, 0.04), (1319, 1.0, 0.02), (3000, 2.0, 0.02)],
)
def test_seeds_that_are_asked_for_decide_whole(
    items: int, deviation: float, truth: float, pilot: int
) -> None:
    need = seeds_that_decide(items, deviation, truth, 2000)
    assert asked_for(items, deviation, truth, pilot, 1000) == pytest.approx(need, rel=0.3)


def test_a_chance_below_five_percent_is_an_interval_that_decides() -> None:
    """The other way round only nearly: far out in the tails p is the stricter one."""
    rng = np.random.default_rng(3)
    bounds: list[Bounds] = [ABOVE_ZERO, (-0.02, 0.02), (-math.inf, 0.01)]
    for truth, wanted in product((-0.05, 0.0, 0.03, 0.1), bounds):
        found = experiment(rng, 600, 4, 1.0, truth)
        assert found.interval is not None
        if chance(found, wanted) < 1 - CONFIDENCE:
            assert verdict_of(found.interval, wanted) != "undecided"


def test_more_items_help_where_seeds_do_not() -> None:
    found = Estimate(0.05, 0.03, 0.0295, 0.006, 5, 600, 0.002, 599)
    asked = what_decides(PairedDifference(found), ABOVE_ZERO)
    assert asked is not None
    assert math.isinf(asked.seeds)
    assert 2 < asked.items < 6
    assert (
        what_decides(PairedDifference(Estimate(0.05, 0.03, 0.03, None, 1, 600)), ABOVE_ZERO) is None
    )


@pytest.mark.parametrize(
    ("interval", "bounds", "word"),
    [
        ((0.1, 0.2), (0.0, math.inf), "supported"),
        ((0.0, 0.2), (0.0, math.inf), "undecided"),
        ((-0.2, 0.0), (0.0, math.inf), "contradicted"),
        ((0.0, 0.0), (0.0, math.inf), "contradicted"),
        ((-0.1, 0.1), (-0.2, 0.2), "supported"),
        ((0.1, 0.3), (-0.2, 0.2), "undecided"),
        ((0.2, 0.3), (-0.2, 0.2), "contradicted"),
        ((-math.inf, 0.3), (-math.inf, 0.2), "undecided"),
    ],
)
def test_bounds_are_not_part_of_what_is_claimed(
    interval: Bounds, bounds: Bounds, word: str
) -> None:
    assert verdict_of(interval, bounds) == word
