"""What a comparison's differences allow to be said, table by table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from lwft_bench.reporting.numbers.comparability import alike
from lwft_bench.reporting.numbers.comparison import Comparison
from lwft_bench.reporting.numbers.estimates import PairedDifference
from lwft_bench.reporting.numbers.families import (
    Judged,
    SeedVariance,
    judge,
    pooled_seed_variance,
)
from lwft_bench.reporting.numbers.rows import Row, differences
from lwft_bench.reporting.numbers.statistics import mean_over_seeds
from lwft_bench.schema.suite import AVERAGE

Pair = tuple[str, str]
Losses = Mapping[str, Mapping[int, float]]
"""Label -> seed -> loss."""


def against_baseline(comparison: Comparison) -> dict[str, Judged]:
    """Label -> its average minus the baseline's, of all rows that have one."""
    pooled = seed_variances(comparison, AVERAGE)
    pairs = {
        row.label: row.differences[AVERAGE] for row in comparison.rows if AVERAGE in row.differences
    }
    return judge(pairs, pooled.__getitem__)


def by_benchmark(comparison: Comparison) -> dict[Pair, Judged]:
    """(Label, benchmark) -> the row's score minus the baseline's: one family."""
    pooled = {name: seed_variances(comparison, name) for name in comparison.benchmarks}
    pairs = {
        (row.label, name): paired
        for row in comparison.rows
        for name, paired in row.differences.items()
        if name != AVERAGE
    }
    return judge(pairs, lambda pair: pooled[pair[1]][pair[0]])


def against_untrained(comparison: Comparison) -> dict[str, Judged]:
    """Label -> its average minus the untrained model's."""
    pooled = seed_variances(comparison, AVERAGE)
    pairs = {
        row.label: row.over_untrained for row in comparison.scored if row.over_untrained is not None
    }
    return judge(pairs, pooled.__getitem__)


def between(comparison: Comparison, rows: Sequence[Row], key: str = AVERAGE) -> dict[Pair, Judged]:
    """The score of each of `rows` minus that of each other one, both ways round: one family.

    Args:
        key: a benchmark, or `AVERAGE`.
    """
    return judged_by_key(comparison, scores_in_pairs(rows), key)


def judged_by_key(
    comparison: Comparison, pairs: Mapping[Pair, Mapping[str, PairedDifference]], key: str
) -> dict[Pair, Judged]:
    """The same of differences that are there: one family."""
    pooled = seed_variances(comparison, key)
    found = {pair: scores[key] for pair, scores in pairs.items() if key in scores}
    return both_ways(judge(found, lambda pair: pooled[pair[0]]))


def scores_in_pairs(rows: Sequence[Row]) -> dict[Pair, dict[str, PairedDifference]]:
    """Of each two of `rows`: benchmark or `AVERAGE` -> the first minus the other."""
    return {
        (row.label, other.label): differences(row, other) for row, other in combinations(rows, 2)
    }


def between_losses(losses: Losses) -> dict[Pair, Judged]:
    """A loss of each method minus that of each other one, both ways round: one family.

    Paired by seed. The examples that losses are taken on are the same for all, and stay so.
    """
    pooled = _loss_variance(losses)
    return both_ways(judge(_pairs_of_losses(losses), lambda _: pooled))


def between_in_both(
    comparison: Comparison, rows: Sequence[Row], losses: Losses
) -> tuple[dict[Pair, Judged], dict[Pair, Judged]]:
    """Averages and losses of methods that are compared in both: together one family."""
    of_averages, of_losses = seed_variances(comparison, AVERAGE), _loss_variance(losses)
    pairs = {("average", pair): paired for pair, paired in _averages_in_pairs(rows).items()}
    pairs |= {("loss", pair): paired for pair, paired in _pairs_of_losses(losses).items()}
    judged = judge(pairs, lambda key: of_losses if key[0] == "loss" else of_averages[key[1][0]])
    averages, by_loss = (
        both_ways({pair: found for (kind, pair), found in judged.items() if kind == wanted})
        for wanted in ("average", "loss")
    )
    return averages, by_loss


def _averages_in_pairs(rows: Sequence[Row]) -> dict[Pair, PairedDifference]:
    return {
        pair: found[AVERAGE] for pair, found in scores_in_pairs(rows).items() if AVERAGE in found
    }


def _pairs_of_losses(losses: Losses) -> dict[Pair, PairedDifference]:
    return {
        (one, other): PairedDifference(
            mean_over_seeds([losses[one][seed] - losses[other][seed] for seed in seeds])
        )
        for one, other in combinations(losses, 2)
        if (seeds := sorted(losses[one].keys() & losses[other].keys()))
    }


def _loss_variance(losses: Losses) -> SeedVariance | None:
    shared = sorted(set.intersection(*map(set, losses.values()))) if losses else []
    return pooled_seed_variance(
        [np.array([found[seed] for seed in shared]) for found in losses.values()]
    )


def both_ways(judged: Mapping[Pair, Judged]) -> dict[Pair, Judged]:
    """Each verdict under both orders of its pair."""
    return dict(judged) | {(other, one): found.reversed for (one, other), found in judged.items()}


def not_separable(best: str, others: Sequence[str], pairs: Mapping[Pair, Judged]) -> list[str]:
    """Those of `others` that may be as good as the best one: no difference to it beyond noise."""
    return [
        other
        for other in others
        if other != best and not ((best, other) in pairs and pairs[best, other].beyond_noise)
    ]


def why_undecided(pairs: Mapping[Pair, Judged]) -> str:
    """Of pairs that cannot be told apart, as none has what that takes."""
    if not pairs:
        return "no two rows can be compared"
    found = {one.verdict.partition(": ")[2] for one in pairs.values()}
    return f"with {' or '.join(sorted(filter(None, found))) or 'one seed'} that cannot be said"


def best_averages(comparison: Comparison) -> list[str]:
    """The best averages and what is not separable from them: `best_scores` of all rows."""
    rows = comparison.scored
    best = best_scores(rows, between(comparison, rows), AVERAGE)
    return [label for _, tied in best for label in tied]


def groups_of(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows whose numbers can be compared, the rows of each group in order."""
    by_label = {row.label: row for row in rows}
    groups = alike({row.label: row.done[0] for row in rows if row.done})
    return [[by_label[label] for label in labels] for labels in groups]


def compared_with_baseline(comparison: Comparison) -> tuple[list[Row], list[str]]:
    """The trained rows that can be compared with the baseline, or where it is none of them with the
    first one, and the labels of the others.
    """
    first = comparison.baseline or next(iter(comparison.trained), None)
    inside = [row for group in groups_of(comparison.rows) if first in group for row in group]
    rows = [row for row in comparison.trained if row in inside]
    return rows, [row.label for row in comparison.trained if row not in inside]


def best_scores(
    rows: Sequence[Row], pairs: Mapping[Pair, Judged], key: str
) -> list[tuple[str, list[str]]]:
    """Of each group of `rows` that can be compared, the best by a benchmark, or by `AVERAGE`, and all
    that are not separable from it, itself among them.

    A group is not there with fewer than two rows that have it, and where seeds are missing, so that
    nothing can be said of the best trained method.
    """
    found = (_best_of(group, pairs, key) for group in groups_of(rows))
    return [one for one in found if one is not None]


def _best_of(
    rows: Sequence[Row], pairs: Mapping[Pair, Judged], key: str
) -> tuple[str, list[str]] | None:
    rows = [row for row in rows if key in row.accuracy]
    if len(rows) < 2:
        return None
    best = max(rows, key=lambda row: row.accuracy[key].mean).label
    if not any(pair.adjusted is not None for (one, _), pair in pairs.items() if one == best):
        return None
    return best, [best, *not_separable(best, [row.label for row in rows], pairs)]


def seed_variances(comparison: Comparison, key: str) -> dict[str, SeedVariance | None]:
    """Label of a row that is done -> that of single seeds' scores, of all trained rows that can be
    compared with it.

    Args:
        key: a benchmark, or `AVERAGE`.
    """
    found: dict[str, SeedVariance | None] = {}
    for group in groups_of(comparison.rows):
        variance = _seed_variance([row for row in group if row.trains], key)
        found |= {row.label: variance for row in group}
    return found


def _seed_variance(rows: Sequence[Row], key: str) -> SeedVariance | None:
    """Of the rows with the seeds that most of them have."""
    means = [found for row in rows if (found := _seed_means(row, key))]
    if not means:
        return None
    seeds = max((tuple(sorted(found)) for found in means), key=len)
    return pooled_seed_variance(
        [
            np.array([found[seed] for seed in seeds])
            for found in means
            if all(seed in found for seed in seeds)
        ]
    )


def _seed_means(row: Row, key: str) -> dict[int, float]:
    """Seed -> score; empty where a benchmark is missing."""
    names = tuple(row.correct) if key == AVERAGE else (key,)
    if not names or any(name not in row.correct for name in names):
        return {}
    average = sum(row.by_seed[name] for name in names) / len(names)
    return {int(seed): float(score) for seed, score in average.items()}


def lowest_losses(losses: Losses) -> list[str]:
    """The label with the lowest mean and those not separable from it; empty if nothing can be said."""
    if len(losses) < 2:
        return []
    best = min(losses, key=lambda label: float(np.mean([*losses[label].values()])))
    pairs = between_losses(losses)
    if not any(found.adjusted is not None for found in pairs.values()):
        return []
    return [best, *not_separable(best, [*losses], pairs)]
