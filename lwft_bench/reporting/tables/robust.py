"""Averages and comparisons that single benchmarks and seeds do not decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from lwft_bench.reporting.numbers.comparability import comparable
from lwft_bench.reporting.numbers.comparison import Comparison
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.estimates import Estimate, PairedDifference
from lwft_bench.reporting.numbers.families import (
    Judged,
    SeedVariance,
    judge,
    pooled_seed_variance,
)
from lwft_bench.reporting.numbers.robust import (
    Benchmark,
    estimate,
    interquartile_mean,
    probability_of_improvement,
)
from lwft_bench.reporting.numbers.rows import Row, differences, in_both, values_of
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Column, Table, tabulate
from lwft_bench.reporting.tables.leading import about
from lwft_bench.reporting.tables.statistics_notes import beyond_noise_notes

_NOTE = (
    "Interquartile mean: of the scores of each seed on each benchmark, without the lowest and the "
    "highest quarter. Probability of improvement: that of one seed to score higher than one of the "
    "baseline, mean over benchmarks; 50 % where both are alike (Agarwal et al. 2021); without an "
    "interval, which would not hold with few templates. ± (one standard error) and intervals, each "
    "alone: by a bootstrap of items within benchmarks and of seeds for all benchmarks at once."
)


@dataclass(frozen=True)
class _Line:
    """One method; the two comparisons with the baseline are None where they cannot be made."""

    label: str
    mean: Estimate
    difference: PairedDifference | None = None
    improvement: Estimate | None = None


def build(context: Context) -> Table | None:
    """None with fewer than two trained methods that have scores on every benchmark, or benchmarks."""
    comparison = context.comparison
    rows = [row for row in comparison.scored if row.trains and _complete(comparison, row)]
    if len(rows) < 2 or len(comparison.benchmarks) < 2:
        return None
    baseline = next((row for row in rows if row is comparison.baseline), None)
    lines = [_line(comparison, row, baseline) for row in rows]
    pooled = _seed_variance(comparison, rows)
    judged = judge(
        {line.label: line.difference for line in lines if line.difference is not None},
        lambda _: pooled,
    )
    return tabulate(
        context.name("robust"),
        context.title("interquartile means and probabilities of improvement"),
        lines,
        [*about(context), *_columns(baseline, judged)],
        notes=[_NOTE, *beyond_noise_notes(judged)],
    )


def _seed_variance(comparison: Comparison, rows: list[Row]) -> SeedVariance | None:
    """Of single seeds' interquartile means over benchmarks, of all rows with the same seeds."""
    seeds = max((tuple(row.correct[comparison.benchmarks[0]].index) for row in rows), key=len)
    means = []
    for row in rows:
        scores = [row.by_seed[name] for name in comparison.benchmarks]
        if tuple(scores[0].index) == seeds:
            means.append(interquartile_mean(np.stack(scores, axis=-1)[:, None, :]))
    return pooled_seed_variance(means)


def _complete(comparison: Comparison, row: Row) -> bool:
    return all(name in row.correct for name in comparison.benchmarks)


def _line(comparison: Comparison, row: Row, baseline: Row | None) -> _Line:
    names = comparison.benchmarks
    (own,) = _judged(names, row)
    mean = estimate(interquartile_mean, [own])
    if baseline is None or row is baseline or not comparable(row.done[0], baseline.done[0]):
        return _Line(row.label, mean)
    both = list(_judged(names, row, baseline))
    if not both[0][0].correct.size:
        return _Line(row.label, mean)
    return _Line(
        row.label,
        mean,
        PairedDifference(estimate(_difference, both), same_weights=_same_weights(row, baseline)),
        estimate(probability_of_improvement, both),
    )


def _same_weights(row: Row, baseline: Row) -> bool:
    taken = differences(row, baseline).values()
    return any(one.same_weights for one in taken)


def _difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.asarray(interquartile_mean(one) - interquartile_mean(other))


def _judged(names: tuple[str, ...], *rows: Row) -> Iterator[list[Benchmark]]:
    """What each benchmark says of each row, on the items and seeds that all of them have."""
    seeds = sorted(set.intersection(*(set(row.correct[names[0]].index) for row in rows)))
    items = {name: rows[0].correct[name].columns for name in names}
    for row in rows:
        items = {name: in_both(own, row.correct[name].columns) for name, own in items.items()}
    for row in rows:
        yield [
            Benchmark(
                values_of(row.correct[name], seeds, items[name]),
                row.labels(name, items[name]),
            )
            for name in names
        ]


def _share(found: Estimate) -> str:
    """A probability in percent with its standard error, if there are seeds."""
    shown = f"{100 * found.mean:.0f}"
    if found.seed_stderr is None or not found.stderr > 0:
        return shown
    return f"{shown} ± {100 * found.stderr:.0f}"


def _columns(baseline: Row | None, judged: Mapping[str, Judged]) -> Iterator[Column[_Line]]:
    yield Column("method", lambda line: line.label, plain="method")
    yield Column(
        "interquartile mean",
        lambda line: line.mean,
        show.accuracy,
        {
            "interquartile_mean": lambda one: one.mean,
            "interquartile_mean_stderr": lambda one: one.stderr,
        },
    )
    if baseline is None:
        return
    yield Column(
        f"− {baseline.label} [95 %]",
        lambda line: judged.get(line.label),
        show.judged,
        {
            "difference": lambda one: one.paired.estimate.mean,
            "difference_low": lambda one: one.paired.low,
            "difference_high": lambda one: one.paired.high,
            "p_holm": lambda one: one.adjusted,
            "beyond_noise": lambda one: one.verdict,
        },
    )
    yield Column(
        f"probability of improvement over {baseline.label} (%)",
        lambda line: line.improvement,
        _share,
        {
            "probability_of_improvement": lambda one: one.mean,
            "probability_of_improvement_stderr": lambda one: one.stderr,
        },
    )
