"""The comparison table: accuracy with its uncertainty, memory, speed, parameters, status."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from lwft_bench.reporting.numbers.comparison import Comparison
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.measurements import (
    contention,
    peak_bytes,
    speed,
    trainings,
    whole_speed,
)
from lwft_bench.reporting.numbers.rows import Row
from lwft_bench.reporting.numbers.timing import TimedComparison, timed
from lwft_bench.reporting.numbers.verdicts import (
    best_averages,
    best_scores,
    between,
    why_undecided,
)
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Column, Table, tabulate
from lwft_bench.reporting.tables.leading import about
from lwft_bench.reporting.tables.measurement_notes import (
    brief_memory_note,
    contention_notes,
    speed_note,
    turns_note,
)
from lwft_bench.reporting.tables.statistics_notes import (
    STANDARD_ERROR,
    family,
    interval_notes,
    no_spread_notes,
)
from lwft_bench.schema.result import Training
from lwft_bench.schema.suite import AVERAGE


def build(context: Context) -> Table:
    """Accuracy, difference to the baseline, memory, speed, parameters, seeds and status."""
    found = timed(context.comparison, context.records.timing)
    return tabulate(
        context.name("main"),
        context.title("accuracy (%), memory and speed"),
        context.comparison.rows,
        [*about(context), *_columns(context.comparison, found)],
        notes=_notes(context.comparison, found),
    )


def _columns(comparison: Comparison, found: TimedComparison | None) -> list[Column[Row]]:
    return [
        Column("method", lambda row: row.label, plain="method"),
        *(_accuracy(key) for key in comparison.benchmarks),
        *_average(comparison),
        _difference(comparison),
        Column("peak memory", peak_bytes, show.memory, "peak_memory_bytes"),
        *_speeds_by_turns(found),
        *_speeds(comparison, found is not None),
        Column(
            "trained / active parameters",
            lambda row: trainings(row) or None,
            _parameters,
            {
                "trained_parameters": lambda found: max(one.trained_parameters for one in found),
                "active_parameters_mean": lambda found: max(
                    one.active_parameters_mean for one in found
                ),
            },
        ),
        Column("seeds", lambda row: f"{len(row.done)} of {len(row.cells)}" if row.trains else None),
        Column(None, lambda row: len(row.done), plain="seeds_done"),
        Column(None, lambda row: len(row.cells), plain="seeds_planned"),
        Column("status", lambda row: row.status, plain="status", text=True),
    ]


def _accuracy(key: str, best: Collection[str] = ()) -> Column[Row]:
    return Column(
        key,
        lambda row: (row.accuracy[key], row.label in best) if key in row.accuracy else None,
        lambda one: show.accuracy(one[0]) + (show.BEST if one[1] else ""),
        {key: lambda one: one[0].mean, f"{key}_stderr": lambda one: one[0].stderr},
    )


def _average(comparison: Comparison) -> Iterator[Column[Row]]:
    best = best_averages(comparison)
    yield _accuracy(AVERAGE, best)
    yield Column(None, lambda row: row.label in best if best else None, plain="best_or_tied")


def _speeds_by_turns(found: TimedComparison | None) -> Iterator[Column[Row]]:
    """Of all methods on the same batches, where they were timed so."""
    if found is None:
        return
    mark = show.CONTENDED if found.contention else ""
    yield Column(
        "tokens/s, by turns",
        lambda row: found.lines.get(row.label),
        lambda line: f"{line.target_tokens_per_second:,.0f}{mark}",
        {"target_tokens_per_second_by_turns": lambda line: line.target_tokens_per_second},
    )
    if found.baseline is not None:
        ratios = found.ratios
        yield Column(
            f"speed ÷ {found.baseline} [95 %]",
            lambda row: "baseline" if row.label == found.baseline else ratios.get(row.label),
            lambda ratio: ratio if isinstance(ratio, str) else show.ratio(ratio),
            {"speed_ratio": lambda ratio: None if isinstance(ratio, str) else ratio.mean},
        )


def _speeds(comparison: Comparison, beside: bool) -> Iterator[Column[Row]]:
    """End to end, where it was recorded, and of the training steps alone.

    Args:
        beside: Whether methods were also timed by turns, which then is the throughput.
    """
    if any(whole_speed(row) for row in comparison.rows):
        yield Column(
            "tokens/s, end to end",
            whole_speed,
            show.speed,
            {
                "end_to_end_target_tokens_per_second": lambda rate: rate.mean,
                "end_to_end_target_tokens_per_second_stderr": lambda rate: rate.stderr,
            },
        )
    yield Column(
        "tokens/s, own cells" if beside else "tokens/s",
        lambda row: (rate, contention(row)) if (rate := speed(row)) else None,
        lambda found: show.speed(found[0]) + (show.CONTENDED if found[1] else ""),
        {
            "target_tokens_per_second": lambda found: found[0].mean,
            "target_tokens_per_second_stderr": lambda found: found[0].stderr,
        },
    )


def _difference(comparison: Comparison) -> Column[Row]:
    """For programs only where no difference can be taken."""
    baseline = comparison.baseline
    taken = any(AVERAGE in row.differences for row in comparison.rows)
    return Column(
        f"average − {baseline.label} [95 %]" if baseline and taken else None,
        lambda row: "baseline" if row is baseline else row.differences.get(AVERAGE),
        lambda paired: paired if isinstance(paired, str) else show.difference(paired),
        {
            "difference": lambda paired: None if paired == "baseline" else paired.estimate.mean,
            "difference_low": lambda paired: None if paired == "baseline" else paired.low,
            "difference_high": lambda paired: None if paired == "baseline" else paired.high,
        },
    )


def _parameters(found: list[Training]) -> str:
    trained = show.spread([one.trained_parameters for one in found], show.count)
    active = show.spread([one.active_parameters_mean for one in found], show.count)
    return f"{trained} / {active}"


def _notes(comparison: Comparison, found: TimedComparison | None) -> Iterator[str]:
    scored = comparison.scored
    if not scored:
        return
    items = [
        [row.accuracy[name].num_items for row in scored if name in row.accuracy]
        for name in comparison.benchmarks
    ]
    sizes = show.spread([number for numbers in items for number in numbers], str)
    plural = "" if sizes == "1" else "s"
    yield (
        f"Accuracy: percent of {sizes} item{plural} a benchmark, mean over seeds; average: over "
        "benchmarks, unweighted."
    )
    yield STANDARD_ERROR
    yield from no_spread_notes(one for row in scored for one in row.accuracy.values())
    yield from _best_note(comparison)
    taken = [row.differences[AVERAGE] for row in scored if AVERAGE in row.differences]
    if comparison.baseline and taken:
        about = " ".join(interval_notes(taken))
        yield (
            f"Difference: percentage points against {comparison.baseline.label}. {about} Which are "
            "beyond noise: see the differences."
        )
    yield from _cluster_note(scored[0])
    for note in (brief_memory_note(comparison), turns_note(found), speed_note(comparison, found)):
        if note:
            yield note
    yield from contention_notes(comparison)
    if comparison.trained:
        yield "Parameters: those that received at least one update / mean over steps of those updated."
    yield from _reused_note(scored)
    yield from _kept_notes(scored)
    yield from _engine_note(scored)


def _reused_note(scored: Sequence[Row]) -> Iterator[str]:
    found = {row.label: sum(one.scores_of is not None for one in row.results) for row in scored}
    told = [
        f"{label} ({number} of {len(row.results)})"
        for (label, number), row in zip(found.items(), scored, strict=True)
        if number
    ]
    if told:
        yield (
            "Not evaluated, since another cell ended in the same weights, whose scores they have: "
            f"{show.listing(told)} cells."
        )


def _cluster_note(row: Row) -> Iterator[str]:
    """How many independent samples the items are."""
    numbers = {name: len(set(clusters)) for name, clusters in row.clusters.items()}
    if numbers:
        shown = ", ".join(f"{number} of {name}" for name, number in numbers.items())
        yield (
            f"Items of one template, or variants of one question, are one sample each: {shown}. "
            "± and intervals are for other templates too."
        )


def _kept_notes(scored: Sequence[Row]) -> Iterator[str]:
    """Whose scores an untrained model has, and why it has none of those that were kept."""
    results = [result for row in scored for result in row.results]
    taken = [
        f"{result.cell} (of {origin.cell} in run {origin.run}, {origin.finished[:10]}, "
        f"{origin.seconds:,.1f} s)"
        for result in results
        if (origin := result.scores_from) is not None
    ]
    if taken:
        yield (
            "Not evaluated here, since an equal untrained model had answered the same items with the "
            f"same software on the same kind of device, and its answers were kept: {', '.join(taken)}. "
            "With --no-reuse every cell is evaluated."
        )
    for result in results:
        if result.scores_not_taken is not None:
            yield (
                "Evaluated, since the answers that were kept of an equal model cannot be taken "
                f"({result.scores_not_taken}): {result.cell}."
            )


def _engine_note(scored: Sequence[Row]) -> Iterator[str]:
    """Whose answers they are where transformers did not generate them, and how alike."""
    found = [one.engine for row in scored for one in row.results if one.engine]
    for name, version in sorted({(one.name, one.version) for one in found}):
        its = [one for one in found if (one.name, one.version) == (name, version)]
        compared = sum(one.num_compared for one in its)
        equal = sum(one.num_equal for one in its)
        yield (
            f"Answers were generated by {name} {version} in {len(its)} of "
            f"{sum(len(row.results) for row in scored)} cells; of {compared} that transformers looked "
            f"at too {equal} are its own."
        )


def _best_note(comparison: Comparison) -> Iterator[str]:
    pairs = between(comparison, comparison.scored)
    best = best_scores(comparison.scored, pairs, AVERAGE)
    if best:
        names = show.listing([one for one, _ in best])
        among = " of the rows that can be compared" if len(best) > 1 else ""
        yield (
            f"{show.BEST.strip()}: the best average{among} ({names}) and all that are not separable "
            f"from it, after Holm's correction for the {family(pairs)} pairs of rows."
        )
    elif len(comparison.scored) > 1:
        yield f"No average is marked as the best: {why_undecided(pairs)}."
