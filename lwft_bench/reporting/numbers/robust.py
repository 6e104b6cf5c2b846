"""Averages that single benchmarks and seeds do not decide (Agarwal et al. 2021, arXiv 2108.13264).

The interquartile mean leaves out the lowest and the highest quarter of all scores, of each seed on each
benchmark. The probability of improvement is that of a seed of one method to score higher than a
seed of another one, mean over benchmarks.

Their errors come from a bootstrap that is stratified by benchmark: items (or clusters of items) are
drawn anew within each benchmark, seeds for all benchmarks at once, since a seed is one trained model
that all of them judge. Seeds drawn for each benchmark on its own, and items not at all, as for
benchmarks of reinforcement learning, give intervals that cover the truth in 64 to 75 % here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from lwft_bench.reporting.numbers.estimates import Estimate
from lwft_bench.reporting.numbers.statistics import Labels

RESAMPLES = 500

Scores = np.ndarray
"""[..., seeds, benchmarks]"""


@dataclass(frozen=True)
class Benchmark:
    """What one benchmark says of a method.

    correct: [seeds, items]. labels: the items' clusters; None where each is one of its own.
    """

    correct: np.ndarray
    labels: Labels | None


def interquartile_mean(scores: Scores) -> np.ndarray:
    """Mean of the middle half over seeds and benchmarks: [...]."""
    ordered = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
    cut = ordered.shape[-1] // 4
    return np.asarray(ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1))


def probability_of_improvement(one: Scores, other: Scores) -> np.ndarray:
    """P(one > other) over all pairs of seeds, ties counted by half, mean over benchmarks: [...]."""
    pairs = one.shape[-2] * other.shape[-2] * one.shape[-1]
    above, not_below = (_pairs_above(one, other, ties) for ties in (False, True))
    return np.asarray((above + not_below) / 2 / pairs)


def _pairs_above(one: Scores, other: Scores, ties: bool) -> np.ndarray:
    """Number of pairs in which `one` is above: [...]. ties: count where both are alike.

    By places in the order of all scores of a benchmark (Mann and Whitney), a fifteenth of the time of
    comparing pairs. The bits of scores, none of which is below 0, are ordered as they are; after them
    comes one that says whose a score is, and which of two alike comes first.
    """
    left, right = (
        2 * np.ascontiguousarray(np.swapaxes(scores, -1, -2)).view(np.uint64)
        for scores in (one, other)
    )
    ordered = np.sort(np.concatenate([left + ties, right + (not ties)], axis=-1), axis=-1)
    number = left.shape[-1]
    places = ((ordered & 1) == ties) @ np.arange(ordered.shape[-1])
    return np.asarray((places - number * (number - 1) // 2).sum(axis=-1))


def estimate(
    statistic: Callable[..., np.ndarray], methods: Sequence[Sequence[Benchmark]], seed: int = 0
) -> Estimate:
    """A statistic of methods' scores with its standard error for new items and new seeds.

    Variances are those of drawing items alone, and of drawing seeds alone times s / (s - 1), since
    drawing s of s seeds shows that much too little; what both have in common, the excess of drawing
    both at once, is taken off once. This is the analysis of variance of `crossed_mean`, resampled.

    Args:
        statistic: from [..., seeds, benchmarks] scores of each method to [...].
        methods: what each benchmark says of each; the same benchmarks, items and seeds.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    scores = [np.stack([one.correct.mean(axis=1) for one in method], axis=-1) for method in methods]
    value = float(statistic(*scores))
    num_seeds = methods[0][0].correct.shape[0]
    num_items = sum(one.correct.shape[1] for one in methods[0])
    redrawn = [_redrawn_items(benchmark, rng) for benchmark in zip(*methods, strict=True)]
    items = [np.stack([one[number] for one in redrawn], axis=-1) for number in range(len(methods))]
    numbers = [_num_clusters(one) for one in methods[0]]
    degrees = float(max(sum(number - 1 for number in numbers), 1))
    # A single item says nothing of how others differ.
    item_variance = float(statistic(*items).var(ddof=1)) if min(numbers) > 1 else math.nan
    sizes, num_sampled = (num_seeds, num_items, degrees), len(numbers) * min(numbers)
    if num_seeds == 1:
        return replace(Estimate.crossed(value, *sizes, item_variance), num_sampled=num_sampled)
    drawn = rng.integers(num_seeds, size=(RESAMPLES, num_seeds))
    take = partial(np.take_along_axis, indices=drawn[..., None], axis=1)
    seeds_alone = float(statistic(*(one[drawn] for one in scores)).var(ddof=1))
    both = float(statistic(*map(take, items)).var(ddof=1))
    rest = max(both - item_variance - seeds_alone, 0.0)
    seed_variance = seeds_alone * num_seeds / (num_seeds - 1)
    found = Estimate.crossed(value, *sizes, item_variance, seed_variance, rest)
    return replace(found, num_sampled=num_sampled)


def _redrawn_items(of_methods: Sequence[Benchmark], rng: np.random.Generator) -> list[np.ndarray]:
    """[resamples, seeds] scores of each method on the same items, drawn anew from one benchmark.

    Of n clusters n - 1 are drawn, which gives the mean the variance that it has (Rao and Wu 1988);
    with the five templates that some benchmarks have, n would give a fifth too little.
    """
    first = of_methods[0]
    num_items = first.correct.shape[1]
    labels = np.arange(num_items) if first.labels is None else first.labels
    member = labels[:, None] == np.unique(labels)
    number = member.shape[1]
    times = rng.multinomial(max(number - 1, 1), np.full(number, 1 / number), RESAMPLES)
    size = times @ member.sum(axis=0)
    return [(times @ (one.correct @ member).T) / size[:, None] for one in of_methods]


def _num_clusters(one: Benchmark) -> int:
    return one.correct.shape[1] if one.labels is None else len(np.unique(one.labels))
