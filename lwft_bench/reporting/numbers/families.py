"""Comparisons that are made together: which of their differences are beyond noise.

Of many comparisons of equal methods some look clear by chance. So all that stand in one table are a
family, whose p values are corrected by Holm's procedure: that any of its marks is false has a
probability of at most 5 %.

Few seeds tell little about how seeds differ, and a correction for many comparisons asks for what is
far out in the tails. So a difference is judged by its own variance over seeds or by that of all
methods together, whichever is larger. Where methods' seeds differ alike, this keeps to the 5 %; of
eight methods of which one has 2.5 times the others' standard deviation, some mark is false in up to
7 % (tests/reporting/test_coverage.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from lwft_bench.reporting.numbers.estimates import CONFIDENCE, PairedDifference
from lwft_bench.reporting.numbers.student import satterthwaite, student_quantile, two_sided_p

FAMILY_SEEDS_PART = 1.6
"""As the one of intervals; larger, since a mark must not be false in more than 5 % of all cases."""
POWER = 0.8
FEWEST_SEEDS = 3
"""Of two seeds an interval has one degree of freedom, and hardly ever decides anything."""
MOST_SEEDS = 1000

_DUST = 1e-24
"""Of a variance of shares: what rounding leaves where nothing differs."""

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class SeedVariance:
    """How far single seeds of a method are from each other, of all methods together.

    variance: of one seed's mean, once what all methods have in common in a seed is taken off.
    """

    variance: float
    degrees: int


@dataclass(frozen=True)
class Judged:
    """A difference as one of a family.

    stderr, degrees: what it is judged by. adjusted: p after Holm's correction; None where nothing
    can be said. family: comparisons that were made together.
    """

    paired: PairedDifference
    stderr: float
    degrees: float
    family: int
    adjusted: float | None

    @property
    def reversed(self) -> Judged:
        """The other method minus this one."""
        return replace(self, paired=self.paired.reversed)

    @property
    def beyond_noise(self) -> bool:
        """After the correction, and by the interval of this comparison alone."""
        interval = self.paired.interval
        if self.adjusted is None or interval is None or self.paired.identical:
            return False
        return self.adjusted < 1 - CONFIDENCE and not interval[0] <= 0.0 <= interval[1]

    @property
    def verdict(self) -> str:
        if self.paired.identical:
            return "identical"
        if not self.paired.over_seeds:
            return "undecided: one seed"
        if self.adjusted is None:
            return "undecided: one item"
        return "yes" if self.beyond_noise else "no"

    @property
    def detectable(self) -> float | None:
        """The true difference that such an experiment would call beyond noise in 80 %.

        At the level that the first of Holm's steps asks for, and by the interval of one difference.
        """
        if self.adjusted is None or self.stderr == 0.0:
            return None
        alone = self.paired.estimate
        return max(
            detectable(self.stderr, self.degrees, self.family),
            detectable(alone.stderr, alone.degrees, 1),
        )

    @property
    def seeds_needed(self) -> float | None:
        """Seeds with which a true difference of this size would be beyond noise in 80 %.

        With the same items; infinite where no number of seeds is enough, or more than 1000. None
        where it is beyond noise already or nothing is known.
        """
        if self.adjusted is None or self.beyond_noise or self.paired.identical:
            return None
        found = self.paired.estimate
        if self.stderr == 0.0:
            return math.inf
        size, seeds = abs(found.mean), found.num_seeds
        items = max(found.item_stderr**2 - found.rest_stderr**2, 0.0)
        per_seed = max(self.stderr**2 - items, 0.0) * seeds

        def enough(number: float) -> bool:
            variance = items + per_seed / number
            degrees = satterthwaite(
                variance, (items, found.item_degrees), (per_seed / number, number - 1)
            )
            return detectable(math.sqrt(variance), degrees, self.family) <= size

        return smallest(enough, FEWEST_SEEDS, MOST_SEEDS)


def smallest(enough: Callable[[float], bool], low: int, high: int) -> float:
    """The smallest whole number that is enough; infinite if the largest is not."""
    if not enough(high):
        return math.inf
    if enough(low):
        return low
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def judge(
    pairs: Mapping[Key, PairedDifference],
    seeds: Callable[[Key], SeedVariance | None] = lambda _: None,
) -> dict[Key, Judged]:
    """All comparisons of a table.

    Args:
        seeds: of the methods of a pair and their like.
    """
    by = {key: judged_by(paired, seeds(key)) for key, paired in pairs.items()}
    p = {
        key: p_of_distance(paired, paired.estimate.mean, *by[key])
        for key, paired in pairs.items()
        if paired.over_seeds and not math.isnan(by[key][0])
    }
    adjusted = dict(zip(p, holm(list(p.values())), strict=True))
    return {
        key: Judged(paired, *by[key], len(p), adjusted.get(key)) for key, paired in pairs.items()
    }


def p_of_distance(
    paired: PairedDifference, distance: float, stderr: float, degrees: float
) -> float:
    """Of what is estimated being this far from what is true."""
    if stderr == 0.0 and paired.estimate.without_spread and not paired.identical:
        return paired.estimate.p_beyond(distance)
    return two_sided_p(distance, stderr, degrees)


def judged_by(paired: PairedDifference, pooled: SeedVariance | None) -> tuple[float, float]:
    """Standard error and degrees of freedom, by the larger of the two variances over seeds.

    The pair's own is of two methods, each with its seeds.
    """
    found = paired.estimate
    if found.seed_stderr is None:
        return math.nan, math.nan
    own, degrees = found.seed_stderr**2, found.num_seeds - 1
    if pooled is not None and pooled.degrees > degrees:
        of_all = paired.num_seeded * pooled.variance / found.num_seeds
        degrees = pooled.degrees if of_all >= own else min(2 * degrees, pooled.degrees)
        own = max(own, of_all)
    items, rest = found.item_stderr**2, found.rest_stderr**2
    variance = max(items + own - rest, items, own)
    if variance < _DUST:
        return 0.0, math.inf
    known = found.of_seeds_alone or (pooled is not None and pooled.degrees > found.num_seeds - 1)
    part = 1.0 if known else FAMILY_SEEDS_PART
    return math.sqrt(variance), satterthwaite(
        variance, (items, found.item_degrees), (math.sqrt(part) * own, degrees)
    )


def holm(p: Sequence[float]) -> list[float]:
    """P values corrected for having made all these comparisons (Holm 1979, step down)."""
    order = np.argsort(p)
    factors = len(p) - np.arange(len(p))
    corrected = np.minimum(np.maximum.accumulate(factors * np.asarray(p)[order]), 1.0)
    return [float(corrected[place]) for place in np.argsort(order)]


def detectable(stderr: float, degrees: float, family: int) -> float:
    """The difference that is found in 80 % of experiments, at the level 5 % / `family`.

    By the noncentral t distribution.
    """
    from scipy.special import nctdtrinc

    degrees = min(degrees, 1e6)
    critical = student_quantile(1 - (1 - CONFIDENCE) / family, degrees)
    return float(nctdtrinc(degrees, 1 - POWER, critical)) * stderr


def pooled_seed_variance(means: Sequence[np.ndarray]) -> SeedVariance | None:
    """Of the seed means of several methods; None with one method or one seed.

    What is left of a [methods, seeds] table once methods' and seeds' means are taken off.

    Args:
        means: [seeds] of each method, the same seeds in the same order.
    """
    if len(means) < 2 or len(means[0]) < 2:
        return None
    table = np.array(means)
    degrees = (table.shape[0] - 1) * (table.shape[1] - 1)
    rest = (
        table - table.mean(axis=0, keepdims=True) - table.mean(axis=1, keepdims=True) + table.mean()
    )
    return SeedVariance(float((rest**2).sum()) / degrees, degrees)
