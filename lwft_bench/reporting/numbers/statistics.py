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

from lwft_bench.reporting.numbers.estimates import Estimate, PairedDifference
from lwft_bench.reporting.numbers.student import satterthwaite

Labels = np.ndarray
"""[items]: the number of each item's cluster."""


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
    # Where each benchmark has as many as the one with the fewest: what all alike say of the average.
    num_sampled = len(parts) * min(part.num_sampled for part in parts)
    sizes = num_seeds, num_items, item_degrees
    if num_seeds == 1:
        return replace(Estimate.crossed(mean, *sizes, item_variance), num_sampled=num_sampled)
    seed_means = np.mean([part.seed_means for part in parts], axis=0)
    seed_variance = _variance(seed_means) / num_seeds
    rest_variance = weight**2 * sum(part.rest_variance for part in parts)
    found = Estimate.crossed(mean, *sizes, item_variance, seed_variance, rest_variance)
    return replace(found, num_sampled=num_sampled)


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
        return Estimate(mean, math.nan, math.nan, None, 1, 0)
    stderr = math.sqrt(_variance(np.asarray(values)) / len(values))
    return Estimate(mean, stderr, 0.0, stderr, len(values), 0)
