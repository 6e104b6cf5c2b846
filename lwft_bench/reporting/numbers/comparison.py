"""The methods of one model and task, side by side, with every number that has an uncertainty."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from lwft_bench.reporting.numbers.comparability import (
    comparable,
    setting_warnings,
    split_by_setting,
)
from lwft_bench.reporting.numbers.correctness import Correctness
from lwft_bench.reporting.numbers.estimates import Estimate
from lwft_bench.reporting.numbers.rows import Row, differences
from lwft_bench.reporting.numbers.statistics import crossed_means
from lwft_bench.reporting.read.by_cell import ByCell
from lwft_bench.reporting.read.in_processes import in_processes
from lwft_bench.reporting.read.records import ReportedCell, RunRecords
from lwft_bench.reporting.read.tunings import ReportedTuning, edge_warnings
from lwft_bench.schema.suite import AVERAGE


@dataclass(frozen=True)
class Comparison:
    """One model and task.

    suffix: of the names of its tables and figures; empty where the run has one model and task.
    baseline, untrained: the rows that `differences` and `over_untrained` refer to.
    """

    model: str
    task: str
    suffix: str
    benchmarks: tuple[str, ...]
    rows: tuple[Row, ...]
    baseline: Row | None
    untrained: Row | None
    warnings: tuple[str, ...]

    @property
    def scored(self) -> list[Row]:
        return [row for row in self.rows if AVERAGE in row.accuracy]

    @property
    def trained(self) -> list[Row]:
        """Rows that were trained and are done at least once."""
        return [row for row in self.rows if row.trains and row.done]


def compare(records: RunRecords) -> list[Comparison]:
    """One comparison for each model and task, in the order of the suite."""
    of_pairs: dict[tuple[str, str], list[ReportedCell]] = {}
    for cell in records.cells:
        of_pairs.setdefault((cell.model, cell.task), []).append(cell)
    several, samples = len(of_pairs) > 1, records.samples_by_cell  # once for all processes
    work = partial(_without_cells, records, samples, several)
    found = in_processes(work, [*of_pairs.values()])
    return [
        _with_cells(one, [tuple(cells[place] for place in own) for own in places])
        for (one, places), cells in zip(found, of_pairs.values(), strict=True)
    ]


def _without_cells(
    records: RunRecords, samples: ByCell, several: bool, cells: list[ReportedCell]
) -> tuple[Comparison, list[list[int]]]:
    """Of one model and task, and of each row the places of its cells. Those, with their results, are
    most of it, and there already where it is handed to.
    """
    model, task = cells[0].model, cells[0].task
    found = _compare(
        cells,
        Correctness(samples.of_all(cell.id for cell in cells)),
        records.baseline,
        [one for one in records.tunings if (one.model, one.task) == (model, task)],
        suffix=f"--{model}--{task}" if several else "",
    )
    place = {id(cell): number for number, cell in enumerate(cells)}
    places = [[place[id(cell)] for cell in row.cells] for row in found.rows]
    return _with_cells(found, [()] * len(places)), places


def _with_cells(comparison: Comparison, cells: Sequence[tuple[ReportedCell, ...]]) -> Comparison:
    """The same with other cells for each row."""
    rows = [replace(row, cells=own) for row, own in zip(comparison.rows, cells, strict=True)]
    instead = {id(row): other for row, other in zip(comparison.rows, rows, strict=True)}
    return replace(
        comparison,
        rows=tuple(rows),
        baseline=instead.get(id(comparison.baseline)),
        untrained=instead.get(id(comparison.untrained)),
    )


def _compare(
    cells: list[ReportedCell],
    correctness: Correctness,
    baseline: str | None,
    tunings: Sequence[ReportedTuning],
    suffix: str,
) -> Comparison:
    rows = [
        _row(f"{label} [{apart}]" if apart else label, members, correctness)
        for label in dict.fromkeys(cell.label for cell in cells)
        for apart, members in split_by_setting([cell for cell in cells if cell.label == label])
    ]
    scored = [row for row in rows if AVERAGE in row.accuracy]
    base = next((row for row in rows if row.method == baseline and row.accuracy), None)
    untrained = next((row for row in scored if not row.trains), None)
    rows = [
        replace(
            row,
            differences=differences(row, base) if base and row is not base else {},
            over_untrained=(
                differences(row, untrained).get(AVERAGE) if untrained and row.trains else None
            ),
        )
        for row in rows
    ]
    by_label = {row.label: row for row in rows}
    return Comparison(
        model=cells[0].model,
        task=cells[0].task,
        suffix=suffix,
        benchmarks=tuple(dict.fromkeys(name for row in rows for name in row.correct)),
        rows=tuple(rows),
        baseline=by_label[base.label] if base else None,
        untrained=by_label[untrained.label] if untrained else None,
        warnings=(*edge_warnings(tunings), *_warnings(rows, base, baseline)),
    )


def _row(label: str, cells: list[ReportedCell], correctness: Correctness) -> Row:
    correct, clusters = correctness.of(cells)
    first = cells[0]
    row = Row(
        label, first.method, first.options, first.trains, tuple(cells), correct, clusters, {}, {}
    )
    return replace(row, accuracy=_accuracy(row))


def _accuracy(row: Row) -> dict[str, Estimate]:
    """Of each benchmark, and the average over them."""
    if not row.correct:
        return {}
    tables = {name: table.to_numpy() for name, table in row.correct.items()}
    labels = {name: row.labels(name, table.columns) for name, table in row.correct.items()}
    single, average = crossed_means(tables, labels)
    return single | {AVERAGE: average}


def _left_out(rows: Sequence[Row]) -> Iterator[str]:
    """What was not trained on: the same for all rows, unless a method has a max_length of its own."""
    trained = [result.training for row in rows for result in row.results if result.training]
    dropped = max((one.dropped_examples for one in trained), default=0)
    empty = max((one.empty_examples for one in trained), default=0)
    if dropped:
        yield (
            f"Training left out {dropped} examples: training.max_length left nothing of their target."
        )
    if empty:
        yield f"The data files have {empty} rows with an empty target, which were left out."


def _warnings(rows: Sequence[Row], base: Row | None, baseline: str | None) -> Iterator[str]:
    if baseline and base is None:
        yield f"The baseline {baseline} has no finished cell: no difference to it can be taken."
    variants = [row.label for row in rows if row.method == baseline and row.accuracy]
    if len(variants) > 1:
        yield f"The baseline {baseline} has several rows; differences refer to {variants[0]}."
    apart = [
        row.label
        for row in rows
        if base and row.label != base.label and row.accuracy and not row.differences
        if comparable(row.done[0], base.done[0])
    ]
    if base and apart:
        yield (
            f"No difference to the baseline {base.label} is taken of {', '.join(apart)}: they share no "
            "seed or no item."
        )
    yield from setting_warnings({row.label: row.done[0] for row in rows if row.done})
    yield from _left_out(rows)
    memory_methods = {
        result.memory.method
        for row in rows
        if row.trains
        for result in row.results
        if result.memory
    }
    if len(memory_methods) > 1:
        yield f"Peak memory was obtained in different ways: {', '.join(sorted(memory_methods))}."
    threads = {
        result.throughput.threads for row in rows for result in row.results if result.throughput
    }
    if len(threads) > 1:
        shown = ", ".join(sorted(str(number) for number in threads))
        yield f"Speeds were measured with different numbers of threads ({shown})."
    for row in rows:
        counted = {name: scores.to_dict() for name, scores in row.by_seed.items()}
        for cell in row.done:
            yield from _score_warnings(row, cell, counted)


def _score_warnings(
    row: Row, cell: ReportedCell, by_seed: dict[str, dict[int, float]]
) -> Iterator[str]:
    """The report counts the samples itself; a result file that says otherwise is pointed out."""
    assert cell.result is not None
    for score in cell.result.scores:
        counted = by_seed.get(score.benchmark)
        if counted is None or cell.seed not in counted:
            yield f"{cell.id} has a score for {score.benchmark} but no samples: it is left out."
        elif row.correct[score.benchmark].shape[1] != score.num_items or (
            abs(counted[cell.seed] - score.value) > 1e-6
        ):
            yield (
                f"{cell.id}: result.json and the samples disagree on {score.benchmark}; "
                "the samples count."
            )
