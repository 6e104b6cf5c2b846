"""A mean and a difference of two, with what is known of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from lwft_bench.reporting.numbers.student import satterthwaite, student_quantile

CONFIDENCE = 0.95
SEEDS_PART = 1.3
"""Enlarges the seeds' part in Satterthwaite's formula, which takes variances for known that three
seeds hardly tell. Without it an interval covers the truth in 92.6 % at worst, with it in 93.0
(tests/reporting/test_coverage.py)."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and where its uncertainty comes from; shares, not percent.

    stderr: standard error of the mean over items and seeds together.
    item_stderr: of the items alone, from each item's mean over seeds.
    seed_stderr: standard deviation over seeds / sqrt(seeds); None with one seed, when `stderr` is
        that of the items alone.
    rest_stderr: of what neither item nor seed explains; it is part of the other two.
    item_degrees: degrees of freedom of `item_stderr`.
    num_items: 0 where nothing but seeds was sampled.
    num_sampled: independent samples among the items.
    """

    mean: float
    stderr: float
    item_stderr: float
    seed_stderr: float | None
    num_seeds: int
    num_items: int
    rest_stderr: float = 0.0
    item_degrees: float = math.inf
    num_sampled: int = 0

    @classmethod
    def crossed(
        cls,
        mean: float,
        num_seeds: int,
        num_items: int,
        item_degrees: float,
        item_variance: float,
        seed_variance: float | None = None,
        rest_variance: float = 0.0,
    ) -> Estimate:
        """From variances of the mean, of which the rest is in both others and is counted once.

        Small samples can push the whole below one of its parts, which is the floor. seed_variance:
        None with one seed.
        """
        item_stderr = math.sqrt(item_variance)
        if seed_variance is None:
            return cls(
                mean, item_stderr, item_stderr, None, num_seeds, num_items, 0.0, item_degrees
            )
        variance = max(item_variance + seed_variance - rest_variance, item_variance, seed_variance)
        return cls(
            mean,
            math.sqrt(variance),
            item_stderr,
            math.sqrt(seed_variance),
            num_seeds,
            num_items,
            math.sqrt(rest_variance),
            item_degrees,
        )

    @property
    def of_seeds_alone(self) -> bool:
        """Whether Student's formula holds as it is: no items were sampled."""
        return self.num_items == 0

    @property
    def without_spread(self) -> bool:
        """Whether all samples say the same: that shows no error, and not that there is none."""
        return self.stderr == 0.0 and not self.of_seeds_alone

    def p_beyond(self, distance: float) -> float:
        """Without a spread: how likely samples are all alike where the mean is this far from theirs.

        A share of samples that say otherwise, each as far off as can be, makes that distance.
        """
        share = min(abs(distance) / (1.0 + abs(self.mean)), 1.0)
        return float((1.0 - share) ** self.num_sampled)

    @property
    def unseen(self) -> float:
        """Without a spread: how far off the mean may be, as `p_beyond` has it ("the rule of three")."""
        share = 1.0 - (1.0 - CONFIDENCE) ** (1.0 / self.num_sampled)
        return float(share * (1.0 + abs(self.mean)))

    @property
    def degrees(self) -> float:
        """Satterthwaite's degrees of freedom of `stderr`.

        Seeds count only where their means differ by more than the items asked of each explain.
        With two seeds there is one degree: nothing more is known of how they differ.
        """
        if self.seed_stderr is None:
            return self.item_degrees
        if self.num_seeds == 2 or self.of_seeds_alone:
            return self.num_seeds - 1.0
        seeds = self.seed_stderr**2 if self.seed_stderr > self.rest_stderr else 0.0
        return satterthwaite(
            self.stderr**2,
            (self.item_stderr**2, self.item_degrees),
            (math.sqrt(SEEDS_PART) * seeds, self.num_seeds - 1),
        )


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """A method minus another one, paired by item and seed; shares, not percent.

    num_seeded: how many of the two methods have seeds; the untrained model has none.
    same_weights: whether both are known to have ended in the same weights with every seed.
    """

    estimate: Estimate
    num_seeded: int = 2
    same_weights: bool = False

    @property
    def over_seeds(self) -> bool:
        return self.estimate.seed_stderr is not None

    @property
    def reversed(self) -> PairedDifference:
        """The other method minus this one."""
        return replace(self, estimate=replace(self.estimate, mean=-self.estimate.mean))

    @property
    def identical(self) -> bool:
        """Nothing differs, and nothing can: the weights are the same."""
        return self.same_weights and self.estimate.mean == 0.0 and self.estimate.stderr == 0.0

    @property
    def alike(self) -> bool:
        """Every item was answered alike in every seed, and others may not be."""
        return not self.identical and self.estimate.mean == 0.0 and self.estimate.without_spread

    @property
    def interval(self) -> tuple[float, float] | None:
        """For new items and new seeds, by Student; None with one seed or one item.

        Taken from `stderr`, with its degrees of freedom: of 100 such experiments about 95 have the
        true difference between its ends. Shares differ by no more than all of them.
        """
        found = self.estimate
        if not self.over_seeds or math.isnan(found.stderr):
            return None
        if self.identical:
            return 0.0, 0.0
        if found.without_spread:
            margin = found.unseen
        else:
            margin = student_quantile(CONFIDENCE, found.degrees) * found.stderr
        low, high = found.mean - margin, found.mean + margin
        return (low, high) if found.of_seeds_alone else (max(low, -1.0), min(high, 1.0))

    @property
    def low(self) -> float | None:
        """Where the interval begins."""
        return self.interval[0] if self.interval else None

    @property
    def high(self) -> float | None:
        """Where the interval ends."""
        return self.interval[1] if self.interval else None
