"""Uncertainty over items and seeds.

The items of a benchmark are the same for every seed and every method, so correctness is a
[seeds, items] table: items and seeds are crossed, and both are samples (other items could have been
asked, other seeds drawn). Everything here works on such tables, and knows nothing of files.

Items that belong together (questions made from one template, or about one passage) are no
independent samples: their cluster is what was sampled, and takes their place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lwft_bench.reporting.numbers.student import satterthwaite, student_quantile

CONFIDENCE = 0.95
SEEDS_PART = 1.3
"""Enlarges the seeds' part in Satterthwaite's formula, which takes variances for known that three
seeds hardly tell. Without it an interval covers the truth in 92.6 % at worst, with it in 93.0
(tests/reporting/test_coverage.py)."""

Labels = np.ndarray
"""[items]: the number of each item's cluster."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and where its uncertainty comes from; shares, not percent.

    stderr: standard error of the mean over items and seeds together.
    item_stderr: of the items alone, from each item's mean over seeds.
    seed_stderr: standard deviation over seeds / sqrt(seeds); None with one seed, when `stderr` is
        that of the items alone.
    rest_stderr: of what neither item nor seed explains; it is part of the other two.
    item_degrees: degrees of freedom of `item_stderr`.
    """

    mean: float
    stderr: float
    item_stderr: float
    seed_stderr: float | None
    num_seeds: int
    num_items: int
    rest_stderr: float = 0.0
    item_degrees: float = math.inf

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
    def degrees(self) -> float:
        """Satterthwaite's degrees of freedom of `stderr`.

        Seeds count only where their means differ by more than the items asked of each explain.
        With two seeds there is one degree: nothing more is known of how they differ.
        """
        if self.seed_stderr is None:
            return self.item_degrees
        if self.num_seeds == 2:
            return 1.0
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
    """

    estimate: Estimate
    num_seeded: int = 2

    @property
    def over_seeds(self) -> bool:
        return self.estimate.seed_stderr is not None

    @property
    def reversed(self) -> PairedDifference:
        """The other method minus this one."""
        return replace(self, estimate=replace(self.estimate, mean=-self.estimate.mean))

    @property
    def identical(self) -> bool:
        """Every item was answered alike in every seed."""
        return self.estimate.mean == 0.0 and self.estimate.stderr == 0.0

    @property
    def interval(self) -> tuple[float, float] | None:
        """For new items and new seeds, by Student; None with one seed or one item.

        Taken from `stderr`, with its degrees of freedom: of 100 such experiments about 95 have the
        true difference between its ends.
        """
        if not self.over_seeds or math.isnan(self.estimate.stderr):
            return None
        margin = student_quantile(CONFIDENCE, self.estimate.degrees) * self.estimate.stderr
        return self.estimate.mean - margin, self.estimate.mean + margin

    @property
    def low(self) -> float | None:
        """Where the interval begins."""
        return self.interval[0] if self.interval else None

    @property
    def high(self) -> float | None:
        """Where the interval ends."""
        return self.interval[1] if self.interval else None


def crossed_mean(
    tables: Sequence[np.ndarray], clusters: Sequence[Labels | None] | None = None
) -> Estimate:
    """The unweighted mean over benchmarks of the mean over items and seeds, with its uncertainty.

    Items and seeds are crossed random effects. With a table's variance split into items I, seeds S
    and the rest R, the mean over s seeds and n items has the variance I/n + S/s + R/(ns). The
    variance of item means estimates I + R/s, that of seed means S + R/n; their sum would count R
    twice, so R/(ns) is taken off once. Small samples can push this below one of its two parts,
    which is the floor.

    Benchmarks are fixed (not a sample of benchmarks), have items of their own, and share their
    seeds: seed means are averaged over benchmarks before their variance is taken.

    Args:
        tables: one [seeds, items] table a benchmark, with the same seeds in the same order; a
            single table gives the estimate of that benchmark.
        clusters: of the items of each table; None where each item is one of its own.
    """
    labels = clusters or [None] * len(tables)
    return _over_benchmarks([_part(*one) for one in zip(tables, labels, strict=True)])


def crossed_means(
    tables: Mapping[str, np.ndarray], clusters: Mapping[str, Labels | None]
) -> tuple[dict[str, Estimate], Estimate]:
    """`crossed_mean` of each benchmark's table alone and of all, each table looked through once.

    Args:
        tables, clusters: by benchmark.
    """
    parts = {name: _part(table, clusters[name]) for name, table in tables.items()}
    single = {name: _over_benchmarks([part]) for name, part in parts.items()}
    return single, _over_benchmarks([*parts.values()])


@dataclass(frozen=True, slots=True)
class _Part:
    """What one table adds to a mean over benchmarks. item_variance: of its sampled columns;
    rest_variance: of its mean.
    """

    mean: float
    seed_means: np.ndarray
    num_items: int
    num_sampled: int
    item_variance: float
    rest_variance: float


def _part(table: np.ndarray, labels: Labels | None) -> _Part:
    sampled = by_cluster(table, labels)
    return _Part(
        table.mean(),
        table.mean(axis=1),
        table.shape[1],
        sampled.shape[1],
        _variance(sampled.mean(axis=0)),
        _rest_variance(sampled) / sampled.size if len(table) > 1 else math.nan,
    )


def _over_benchmarks(parts: Sequence[_Part]) -> Estimate:
    num_seeds = len(parts[0].seed_means)
    num_items = sum(part.num_items for part in parts)
    mean = float(np.mean([part.mean for part in parts]))
    weight = 1.0 / len(parts)
    item_variances = [weight**2 * part.item_variance / part.num_sampled for part in parts]
    item_variance = sum(item_variances)
    item_degrees = satterthwaite(
        item_variance,
        *(
            (variance, max(part.num_sampled - 1, 1))
            for variance, part in zip(item_variances, parts, strict=True)
        ),
    )
    sizes = num_seeds, num_items, item_degrees
    if num_seeds == 1:
        return Estimate.crossed(mean, *sizes, item_variance)
    seed_means = np.mean([part.seed_means for part in parts], axis=0)
    seed_variance = _variance(seed_means) / num_seeds
    rest_variance = weight**2 * sum(part.rest_variance for part in parts)
    return Estimate.crossed(mean, *sizes, item_variance, seed_variance, rest_variance)


def paired_difference(
    tables: Sequence[np.ndarray],
    reference: Sequence[np.ndarray],
    clusters: Sequence[Labels | None] | None = None,
    num_seeded: int = 2,
) -> PairedDifference:
    """`tables` minus `reference`, averaged over benchmarks without weights.

    Args:
        tables: one [seeds, items] table a benchmark.
        reference: the same for the method compared with: same seeds, same items, same order. A
            table of one row stands for every seed (the untrained model has no seed).
        clusters: as of `crossed_mean`.
        num_seeded: how many of the two have seeds.
    """
    differences = [table - other for table, other in zip(tables, reference, strict=True)]
    return PairedDifference(crossed_mean(differences, clusters), num_seeded)


def by_cluster(table: np.ndarray, labels: Labels | None) -> np.ndarray:
    """[seeds, clusters]: a table with the same seed means whose columns were sampled independently.

    Each column is the mean plus what its items add to it, so that clusters of all sizes count as
    in the mean over items (the linearised, or cluster-robust, variance).
    """
    if labels is None:
        return table
    found, numbers = np.unique(labels, return_inverse=True)
    member = numbers[:, None] == np.arange(len(found))
    added = (table - table.mean()) @ member
    return np.asarray(table.mean() + added * (len(found) / table.shape[1]))


def _variance(values: np.ndarray) -> float:
    """Sample variance; NaN for a single value, which says nothing about its spread."""
    return float(values.var(ddof=1)) if len(values) > 1 else math.nan


def _rest_variance(table: np.ndarray) -> float:
    """Mean square of what neither the item nor the seed explains (two-way layout, one per cell)."""
    num_seeds, num_items = table.shape
    if num_items == 1:
        return math.nan
    rest = (
        table - table.mean(axis=0, keepdims=True) - table.mean(axis=1, keepdims=True) + table.mean()
    )
    return float((rest**2).sum()) / ((num_seeds - 1) * (num_items - 1))


def mean_over_seeds(values: Sequence[float]) -> Estimate:
    """Of one number a seed, as a loss or a speed: nothing but seeds was sampled."""
    mean = float(np.mean(values))
    if len(values) == 1:
        return Estimate(mean, math.nan, math.nan, None, 1, 1)
    stderr = math.sqrt(_variance(np.asarray(values)) / len(values))
    return Estimate(mean, stderr, 0.0, stderr, len(values), 1)
