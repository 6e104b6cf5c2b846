"""Uncertainty over items and seeds.

The items of a benchmark are the same for every seed and every method, so correctness is a
[seeds, items] table: items and seeds are crossed, and both are samples (other items could have been
asked, other seeds drawn). Everything here works on such tables, and knows nothing of files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and where its uncertainty comes from; shares, not percent.

    stderr: standard error of the mean over items and seeds together.
    item_stderr: of the items alone, from each item's mean over seeds.
    seed_stderr: standard deviation over seeds / sqrt(seeds); None with one seed, when `stderr` is
        that of the items alone.
    """

    mean: float
    stderr: float
    item_stderr: float
    seed_stderr: float | None
    num_seeds: int
    num_items: int


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """A method minus another one, paired by item and seed; shares, not percent.

    low, high: the 95 % interval. It is Student's, over the per-seed differences with seeds - 1
        degrees of freedom; with one seed it is the normal interval over paired items, and says
        nothing about seeds.
    """

    estimate: Estimate
    low: float
    high: float

    @property
    def over_seeds(self) -> bool:
        return self.estimate.seed_stderr is not None

    @property
    def beyond_noise(self) -> bool:
        """Both noises are ruled out: the interval over seeds and the one over items exclude zero.

        The second condition matters with few seeds, which by luck can agree more than the items
        allow.
        """
        item_margin = normal_quantile(CONFIDENCE) * self.estimate.item_stderr
        return not self.low <= 0.0 <= self.high and abs(self.estimate.mean) > item_margin

    @property
    def stderrs(self) -> float:
        """The mean in standard errors (over items and seeds)."""
        if self.estimate.stderr == 0.0:
            return math.copysign(math.inf, self.estimate.mean) if self.estimate.mean else 0.0
        return self.estimate.mean / self.estimate.stderr


def crossed_mean(tables: Sequence[np.ndarray]) -> Estimate:
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
    """
    num_seeds = tables[0].shape[0]
    num_items = sum(table.shape[1] for table in tables)
    weight = 1.0 / len(tables)
    mean = weight * sum(float(table.mean()) for table in tables)
    item_variance = weight**2 * sum(
        _variance(table.mean(axis=0)) / table.shape[1] for table in tables
    )
    if num_seeds == 1:
        stderr = math.sqrt(item_variance)
        return Estimate(mean, stderr, stderr, None, num_seeds, num_items)
    seed_means = weight * np.sum([table.mean(axis=1) for table in tables], axis=0)
    seed_variance = _variance(seed_means) / num_seeds
    rest_variance = weight**2 * sum(_rest_variance(table) / table.size for table in tables)
    variance = max(item_variance + seed_variance - rest_variance, item_variance, seed_variance)
    return Estimate(
        mean,
        math.sqrt(variance),
        math.sqrt(item_variance),
        math.sqrt(seed_variance),
        num_seeds,
        num_items,
    )


def paired_difference(
    tables: Sequence[np.ndarray], reference: Sequence[np.ndarray]
) -> PairedDifference:
    """`tables` minus `reference`, averaged over benchmarks without weights.

    Args:
        tables: one [seeds, items] table a benchmark.
        reference: the same for the method compared with: same seeds, same items, same order. A
            table of one row stands for every seed (the untrained model has no seed).
    """
    differences = [table - other for table, other in zip(tables, reference, strict=True)]
    estimate = crossed_mean(differences)
    if estimate.seed_stderr is None:
        margin = normal_quantile(CONFIDENCE) * estimate.item_stderr
    else:
        margin = student_t_quantile(CONFIDENCE, estimate.num_seeds - 1) * estimate.seed_stderr
    return PairedDifference(estimate, estimate.mean - margin, estimate.mean + margin)


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


def normal_quantile(confidence: float) -> float:
    """z with P(|Z| < z) = confidence."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def student_t_quantile(confidence: float, degrees: int) -> float:
    """t with P(|T| < t) = confidence, for whole degrees of freedom.

    Bisection on the closed form of Abramowitz and Stegun 26.7.3 and 26.7.4, which saves the
    dependency on scipy for one number.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(80):
        middle = (low + high) / 2
        if _student_t_mass(middle, degrees) < confidence:
            low = middle
        else:
            high = middle
    return math.tan(low) * math.sqrt(degrees)


def _student_t_mass(theta: float, degrees: int) -> float:
    """P(|T| < tan(theta) sqrt(degrees))."""
    sine, cosine = math.sin(theta), math.cos(theta)
    odd = degrees % 2
    term = cosine if odd else 1.0
    series = term if degrees > 1 else 0.0
    for power in range(2 + odd, degrees - 1, 2):
        term *= (power - 1) / power * cosine**2
        series += term
    return 2 / math.pi * (theta + sine * series) if odd else sine * series
