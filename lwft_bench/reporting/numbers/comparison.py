"""The methods of one model and task, side by side, with every number that has an uncertainty."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from lwft_bench.reporting.numbers.comparability import (
    comparable,
    setting_warnings,
    split_by_setting,
)
from lwft_bench.reporting.numbers.statistics import (
    Estimate,
    Labels,
    PairedDifference,
    crossed_mean,
    paired_difference,
)
from lwft_bench.reporting.read.records import ReportedCell, RunRecords
from lwft_bench.reporting.read.tunings import ReportedTuning, edge_warnings
from lwft_bench.schema.result import CellResult
from lwft_bench.schema.suite import AVERAGE


@dataclass(frozen=True)
class Row:
    """One method (or one value of an ablated option) over its seeds.

    correct: benchmark -> [seeds, items] frame of correctness, from the done cells.
    clusters: benchmark -> cluster of each item, by its id; only of benchmarks that have such.
    accuracy: benchmark or `AVERAGE` -> estimate; empty when no cell is done.
    differences: the same keys -> this row minus the baseline, where that can be taken.
    over_untrained: this row's average minus that of the untrained model.
    """

    label: str
    method: str
    options: tuple[str, ...]
    trains: bool
    cells: tuple[ReportedCell, ...]
    correct: dict[str, pd.DataFrame]
    clusters: dict[str, pd.Series]
    accuracy: dict[str, Estimate]
    differences: dict[str, PairedDifference]
    over_untrained: PairedDifference | None = None

    def labels(self, benchmark: str, items: pd.Index) -> Labels | None:
        """The clusters of these items, as numbers; None where each is one of its own."""
        if benchmark not in self.clusters:
            return None
        numbers: Labels = pd.factorize(self.clusters[benchmark].loc[items])[0]
        return numbers

    @property
    def done(self) -> list[ReportedCell]:
        return [cell for cell in self.cells if cell.done]

    @property
    def results(self) -> list[CellResult]:
        """Results of the done cells."""
        return [cell.result for cell in self.done if cell.result is not None]

    @property
    def status(self) -> str:
        """`done`, or how many cells have which status."""
        counts = Counter(cell.status for cell in self.cells)
        if len(counts) == 1:
            return next(iter(counts))
        return ", ".join(f"{number} {status}" for status, number in counts.items())


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
    samples = dict(list(records.samples.groupby("cell", sort=False)))
    pairs = dict.fromkeys((cell.model, cell.task) for cell in records.cells)
    return [
        _compare(
            [cell for cell in records.cells if (cell.model, cell.task) == pair],
            samples,
            records.baseline,
            [one for one in records.tunings if (one.model, one.task) == pair],
            suffix="--{}--{}".format(*pair) if len(pairs) > 1 else "",
        )
        for pair in pairs
    ]


def _compare(
    cells: list[ReportedCell],
    samples: dict[str, pd.DataFrame],
    baseline: str | None,
    tunings: Sequence[ReportedTuning],
    suffix: str,
) -> Comparison:
    rows = [
        _row(f"{label} [{apart}]" if apart else label, members, samples)
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


def _row(label: str, cells: list[ReportedCell], samples: dict[str, pd.DataFrame]) -> Row:
    found = [
        samples[cell.id].assign(seed=cell.seed)
        for cell in cells
        if cell.done and cell.id in samples
    ]
    correct, clusters = {}, {}
    if found:
        for name, group in pd.concat(found).groupby("benchmark", sort=False):
            table = group.pivot(index="seed", columns="id", values="correct").dropna(axis="columns")
            correct[str(name)] = table.astype(float)
            own = group.drop_duplicates("id").set_index("id")["cluster"]
            if own.duplicated().any():
                clusters[str(name)] = own
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
    single = {name: crossed_mean([table], [labels[name]]) for name, table in tables.items()}
    return single | {AVERAGE: crossed_mean([*tables.values()], [*labels.values()])}


def differences(row: Row, reference: Row) -> dict[str, PairedDifference]:
    """Benchmark or `AVERAGE` -> difference; empty if they share no seed or are not comparable."""
    if not (row.correct and reference.correct):
        return {}
    if not comparable(row.done[0], reference.done[0]):
        return {}
    if row.trains and reference.trains:
        seeds = sorted({cell.seed for cell in row.done} & {cell.seed for cell in reference.done})
    else:  # the untrained model has no seed: its one table is paired with each seed of the other
        seeds = []
    pairs = {}
    for name in row.correct:
        if name not in reference.correct:
            continue
        left, right = row.correct[name], reference.correct[name]
        items = left.columns.intersection(right.columns)
        if row.trains and reference.trains:
            left, right = left.loc[seeds], right.loc[seeds]
        if len(items) and len(left) and len(right):
            labels = row.labels(name, items)
            pairs[name] = (left[items].to_numpy(), right[items].to_numpy(), labels)
    num_seeded = row.trains + reference.trains
    found = {
        name: paired_difference([left], [right], [labels], num_seeded)
        for name, (left, right, labels) in pairs.items()
    }
    if pairs and pairs.keys() == row.correct.keys():
        tables, references, clusters = zip(*pairs.values(), strict=True)
        found[AVERAGE] = paired_difference(tables, references, clusters, num_seeded)
    return found


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
        for cell in row.done:
            yield from _score_warnings(row, cell)


def _score_warnings(row: Row, cell: ReportedCell) -> Iterator[str]:
    """The report counts the samples itself; a result file that says otherwise is pointed out."""
    assert cell.result is not None
    for score in cell.result.scores:
        table = row.correct.get(score.benchmark)
        if table is None:
            yield f"{cell.id} has a score for {score.benchmark} but no samples: it is left out."
        elif table.shape[1] != score.num_items or (
            abs(table.loc[cell.seed].mean() - score.value) > 1e-6
        ):
            yield (
                f"{cell.id}: result.json and the samples disagree on {score.benchmark}; "
                "the samples count."
            )
