"""What stands under a paper's table: what its signs mean, and what cannot be told or compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from lwft_bench.reporting.numbers.comparability import hardware
from lwft_bench.reporting.numbers.comparison import Comparison
from lwft_bench.reporting.numbers.families import Judged
from lwft_bench.reporting.numbers.measurements import is_disturbed, memories
from lwft_bench.reporting.numbers.rows import Row
from lwft_bench.reporting.numbers.verdicts import between, why_undecided
from lwft_bench.reporting.paper.lines import QUOTED, Line
from lwft_bench.reporting.paper.metrics import Metric
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.tables.measurement_notes import memory_note, speed_note
from lwft_bench.reporting.tables.published import source_note
from lwft_bench.reporting.tables.statistics_notes import (
    STANDARD_ERROR,
    interval_notes,
    no_spread_notes,
)
from lwft_bench.schema.suite import AVERAGE
from lwft_bench.schema.tables import Highlight, Notes, PlusMinus

_SPREADS: dict[PlusMinus, str] = {
    "stderr": "±: one standard error over items and seeds",
    "interval": "±: half of the 95 % interval for new items and new seeds",
    "seeds": "±: standard deviation over seeds",
}
_MARKS: dict[Highlight, str] = {
    "ties": (
        "Bold: the best of a block's rows that can be compared, in a column, and all that are not "
        "separable from it (Holm's correction over the pairs of the column; counted costs: within 1 %)"
    ),
    "best": "Bold: the highest or lowest number, whether or not noise allows to call it the best",
}


@dataclass(frozen=True)
class NoteStyle:
    """How much is told, and of which signs. any_spread, any_mark: whether anything has a ±,
    and whether anything is bold.
    """

    notes: Notes
    plus_minus: PlusMinus
    highlight: Highlight
    any_spread: bool = True
    any_mark: bool = True


def footnotes(
    lines: Sequence[Line],
    metrics: Sequence[Metric],
    style: NoteStyle,
    cautions: Sequence[str],
) -> list[str]:
    """Sentences in order of what a reader needs first; without notes, only what cannot be compared.

    Args:
        cautions: what a reader must not conclude.
    """
    notes, plus_minus = style.notes, style.plus_minus
    comparisons = _comparisons(lines)
    accuracies = [metric for metric in metrics if metric.kind in ("share", "points")]
    found: list[str] = []
    if notes != "none":
        found += _signs(bool(accuracies), style)
        if accuracies:
            for comparison in comparisons:
                found += _cannot_be_told(comparison, _rows(lines, comparison))
        if style.any_spread and plus_minus != "none":
            rows = [row for one in comparisons for row in _rows(lines, one)]
            shown = [
                name for line in lines for metric in accuracies if (name := metric.benchmark(line))
            ]
            found += no_spread_notes(
                row.accuracy[name]
                for row in rows
                for name in dict.fromkeys(shown)
                if name in row.accuracy
            )
    found += _own_speeds(lines, metrics)
    found += _stands_for(lines, metrics)
    found += _turns(lines, metrics, notes)
    found += _sources(lines)
    if notes == "full":
        found += _in_full(comparisons, accuracies, metrics, plus_minus)
    if notes != "none" and comparisons:
        found += cautions
    return [*found, *_across(comparisons, metrics), *_within(comparisons)]


def _comparisons(lines: Sequence[Line]) -> list[Comparison]:
    found: dict[int, Comparison] = {}
    for line in lines:
        if line.measured is not None:
            found[id(line.measured.comparison)] = line.measured.comparison
    return list(found.values())


def _rows(lines: Sequence[Line], comparison: Comparison) -> list[Row]:
    return [
        line.measured.row
        for line in lines
        if line.measured is not None and line.measured.comparison is comparison
    ]


def _signs(accuracies: bool, style: NoteStyle) -> Iterator[str]:
    if accuracies:
        yield "Accuracy in percent, mean over seeds; the average is over benchmarks, unweighted."
    if style.plus_minus in _SPREADS and style.any_spread:
        yield f"{_SPREADS[style.plus_minus]}."
    if style.highlight in _MARKS and style.any_mark:
        yield f"{_MARKS[style.highlight]}."


def _cannot_be_told(comparison: Comparison, rows: Sequence[Row]) -> Iterator[str]:
    """The smallest difference that four of five such experiments find, and what more would take."""
    scored = [row for row in rows if AVERAGE in row.accuracy]
    about = f"{comparison.model} on {comparison.task}"
    pairs = between(comparison, scored)
    sizes = [found.detectable for found in pairs.values() if found.detectable is not None]
    if not sizes:
        if len(scored) > 1:
            yield f"{about}: which averages differ: {why_undecided(pairs)}."
        return
    seeds = show.spread([one.paired.estimate.num_seeds for one in pairs.values()], str)
    items = show.spread([one.paired.estimate.num_items for one in pairs.values()], str)
    text = (
        f"{about}: with {seeds} seeds and {items} items, differences of averages under "
        f"{100 * min(sizes):.1f} points (of half of the pairs: {100 * median(sizes):.1f}) cannot be told"
    )
    yield text + _needed(scored, pairs) + "."


def _needed(rows: Sequence[Row], pairs: dict[tuple[str, str], Judged]) -> str:
    """Seeds that would tell the best from the next, where it is not told."""
    ordered = sorted(rows, key=lambda row: -row.accuracy[AVERAGE].mean)
    best, *others = [row.label for row in ordered]
    judged = pairs.get((best, others[0]))
    needed = judged.seeds_needed if judged else None
    if judged is None or needed is None:
        return ""
    points = show.points(judged.paired.estimate.mean)
    return (
        f"; to tell {best} from {others[0]} ({points}) would take "
        f"{show.seeds(needed)}{' seeds' if show.seeds(needed).isdigit() else ''}"
    )


def _stands_for(lines: Sequence[Line], metrics: Sequence[Metric]) -> Iterator[str]:
    """Columns whose rows show different benchmarks, and averages over different ones."""
    for metric in metrics:
        shown: dict[str, list[str]] = {}
        for line in lines:
            if (name := metric.benchmark(line)) is not None:
                shown.setdefault(name, []).append(line.model)
        if len(shown) > 1:
            parts = [
                f"{name} ({show.listing(list(dict.fromkeys(models)))})"
                for name, models in shown.items()
            ]
            yield f"{metric.heading} is {show.listing(parts)}: not comparable between these."
    tasks = {line.task for line in lines if line.task is not None}
    averages = [metric for metric in metrics if metric.name == AVERAGE]
    if averages and len(tasks) > 1:
        yield f"Rows are of different tasks ({show.listing(sorted(tasks))}): averages, too."


def _turns(lines: Sequence[Line], metrics: Sequence[Metric], notes: Notes) -> Iterator[str]:
    """How speeds by turns were had; without notes, only where the machine had other work."""
    if not {metric.name for metric in metrics} & {"throughput_by_turns", "speed_ratio"}:
        return
    known = {id(turns): turns for line in lines if (turns := line.measured and line.measured.turns)}
    if notes != "none" and known:
        rounds = show.spread([turns.pairs for turns in known.values()], str)
        yield (
            f"By turns: training steps of all methods on the same batches in one process, {rounds} "
            "rounds; ± there is one standard error over rounds."
        )
    for turns in known.values():
        if turns.contention:
            about = f"{turns.measured.model} on {turns.measured.task}"
            yield (
                f"{about}: timed while the machine had other work "
                f"({show.listing(turns.contention)})."
            )


def _own_speeds(lines: Sequence[Line], metrics: Sequence[Metric]) -> Iterator[str]:
    """Whose speeds and times say little, as others had part of the machine meanwhile."""
    if not any(metric.of_own_cells for metric in metrics):
        return
    for comparison in _comparisons(lines):
        disturbed = [row.label for row in _rows(lines, comparison) if is_disturbed(row)]
        if disturbed:
            yield (
                f"{comparison.model} on {comparison.task}: speeds and times of the cells of "
                f"{show.listing(disturbed)} were taken while the machine had other work: they say "
                "little of which method is faster."
            )


def _sources(lines: Sequence[Line]) -> Iterator[str]:
    quoted: list[str] = []
    for line in lines:
        if line.published is not None:
            text = source_note(line.published).removeprefix("Published: ")
            quoted += [] if text in quoted else [text]
    for text in quoted:
        yield f"{QUOTED.strip()} Published, not run here: {text}"


def _in_full(
    comparisons: Sequence[Comparison],
    accuracies: Sequence[Metric],
    metrics: Sequence[Metric],
    plus_minus: PlusMinus,
) -> Iterator[str]:
    if comparisons and accuracies:
        if plus_minus == "stderr":
            yield STANDARD_ERROR
        if plus_minus == "interval" or any(metric.kind == "points" for metric in metrics):
            taken = (
                pair for one in comparisons for row in one.rows for pair in row.differences.values()
            )
            yield from interval_notes(taken)
    kinds = {metric.kind for metric in metrics}
    wanted = [(memory_note, "bytes"), (speed_note, "rate")]
    told: list[str] = []
    for note, kind in wanted:
        for comparison in comparisons:
            text = note(comparison) if kind in kinds else None
            if text is not None and text not in told:
                told.append(text)
    yield from told


def _across(comparisons: Sequence[Comparison], metrics: Sequence[Metric]) -> Iterator[str]:
    """What blocks of different runs do not share."""
    kinds = {metric.kind for metric in metrics}
    machines = {
        hardware(cell) or "not recorded"
        for one in comparisons
        for row in one.rows
        for cell in row.done
    }
    if len(comparisons) > 1 and len(machines) > 1 and kinds & {"rate", "seconds"}:
        yield f"Speeds are of different machines ({'; '.join(sorted(machines))}): not comparable."
    ways = {found.method for one in comparisons for row in one.trained for found in memories(row)}
    if len(comparisons) > 1 and len(ways) > 1 and kinds & {"bytes", "ratio"}:
        yield (
            f"Peak memory was obtained in different ways ({', '.join(sorted(ways))}): not comparable "
            "between blocks."
        )


def _within(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """The report's warnings of each model and task."""
    for comparison in comparisons:
        prefix = f"{comparison.model} on {comparison.task}: " if len(comparisons) > 1 else ""
        yield from (f"{prefix}{warning}" for warning in comparison.warnings)
