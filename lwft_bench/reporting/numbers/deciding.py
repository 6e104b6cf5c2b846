"""Verdicts on a statement that a number lies between two bounds, and what an undecided one would take.

A statement is supported where the whole 95 % interval lies between its bounds, contradicted where
none of it does, and undecided otherwise. So of 100 experiments at most 5 support one that is false,
and at most 5 contradict one that is true. Statements that are made together are a family, corrected
by Holm's procedure as tables are: then any verdict of all is wrong in at most 5 of 100.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lwft_bench.reporting.numbers.estimates import CONFIDENCE, Estimate, PairedDifference
from lwft_bench.reporting.numbers.families import (
    FAMILY_SEEDS_PART,
    FEWEST_SEEDS,
    MOST_SEEDS,
    detectable,
    judged_by,
    p_of_distance,
    smallest,
)
from lwft_bench.reporting.numbers.student import satterthwaite

Verdict = Literal["supported", "contradicted", "undecided"]
Bounds = tuple[float, float]
MOST_ITEMS = 1000.0
"""Times the items that there are."""


@dataclass(frozen=True)
class WouldDecide:
    """With which four of five experiments would decide, if the number is what it seems to be.

    seeds: with the same items; infinite where more than 1000 are not enough. items: how many times as
    many, with the same seeds; infinite likewise.
    """

    seeds: float
    items: float


def verdict_of(interval: Bounds, bounds: Bounds) -> Verdict:
    """Of a statement that something with this interval lies strictly between the bounds."""
    low, high = interval
    if bounds[0] < low and high < bounds[1]:
        return "supported"
    if high <= bounds[0] or low >= bounds[1]:
        return "contradicted"
    return "undecided"


def chance(paired: PairedDifference, bounds: Bounds) -> float:
    """P value of what the estimate says of the bounds: that it lies between them, or that it does not.

    By the standard error and degrees of freedom of families, which hold far out in the tails.
    """
    mean = paired.estimate.mean
    error = judged_by(paired, None)
    low, high = (
        p_of_distance(paired, mean - bound, *error) if math.isfinite(bound) else 0.0
        for bound in bounds
    )
    if bounds[0] < mean < bounds[1]:
        return max(low, high)
    return low if mean <= bounds[0] else high


def what_decides(paired: PairedDifference, bounds: Bounds, family: int = 1) -> WouldDecide | None:
    """What would decide; None where nothing is known of how seeds differ.

    The variance is split into that of items I, of seeds S and the rest R, whose parts shrink as
    1/items, 1/seeds and 1/(items seeds).

    Args:
        family: statements that are made together.
    """
    found = paired.estimate
    if found.seed_stderr is None or math.isnan(found.stderr):
        return None
    distance = min(abs(found.mean - bound) for bound in bounds if math.isfinite(bound))
    if found.without_spread:
        return WouldDecide(math.inf, _more_alike(found, distance, family))
    parts = _Parts.of(found)

    def enough(seeds: float, items: float) -> bool:
        stderr, degrees = parts.error(seeds, items)
        return detectable(stderr, degrees, family) <= distance

    return WouldDecide(
        smallest(lambda seeds: enough(seeds, 1.0), FEWEST_SEEDS, MOST_SEEDS),
        _least_factor(lambda items: enough(found.num_seeds, items)),
    )


def _more_alike(found: Estimate, distance: float, family: int) -> float:
    """How many times the items, all alike again, would say it."""
    one = math.log(found.p_beyond(distance)) if 0 < found.p_beyond(distance) < 1 else 0.0
    factor = math.log((1 - CONFIDENCE) / family) / one if one else math.inf
    return factor if factor <= MOST_ITEMS else math.inf


@dataclass(frozen=True)
class _Parts:
    """Variances of the mean by source; item_degrees: of the items' part; spread: of what is known of
    how seeds differ.
    """

    items: float
    seeds: float
    rest: float
    num_seeds: int
    item_degrees: float
    spread: float

    @classmethod
    def of(cls, found: Estimate) -> _Parts:
        rest = found.rest_stderr**2
        items = max(found.item_stderr**2 - rest, 0.0)
        seeds = max(found.stderr**2 - items - rest, 0.0)
        spread = 1.0 if found.of_seeds_alone else math.sqrt(FAMILY_SEEDS_PART)
        return cls(items, seeds, rest, found.num_seeds, found.item_degrees, spread)

    def error(self, seeds: float, items: float) -> tuple[float, float]:
        """Standard error and degrees of freedom of another size, as `judged_by` has them."""
        fewer = self.num_seeds / seeds
        of_items = self.items / items + self.rest * fewer / items
        of_seeds = self.seeds * fewer + self.rest * fewer / items
        variance = self.items / items + of_seeds
        degrees = satterthwaite(
            variance,
            (of_items, self.item_degrees * items),
            (self.spread * of_seeds, seeds - 1),
        )
        return math.sqrt(variance), degrees


def _least_factor(enough: Callable[[float], bool]) -> float:
    """To a hundredth; infinite if the largest is not enough."""
    if not enough(MOST_ITEMS):
        return math.inf
    low, high = 1.0, MOST_ITEMS
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
