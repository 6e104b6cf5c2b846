"""The rows of a paper's table: what runs have of methods, and what others printed of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lwft_bench.reporting.numbers.comparison import Comparison
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.rows import Row
from lwft_bench.reporting.numbers.timing import TimedComparison, timed
from lwft_bench.reporting.read.statements import Quoted
from lwft_bench.schema.suite import Published
from lwft_bench.schema.tables import BlockKey, TableSpec

QUOTED = " ‡"
"""Behind the label of a row that others printed."""


@dataclass(frozen=True)
class MeasuredRow:
    """A row of a comparison. turns: how its methods were timed against each other, if they were."""

    comparison: Comparison
    row: Row
    turns: TimedComparison | None = None


@dataclass(frozen=True)
class Line:
    """One row: of a run (`measured`) or of a paper (`published`).

    options: the ablated ones. apart: what sets cells apart that were made otherwise, in brackets.
    """

    model: str
    task: str | None
    method: str
    options: str = ""
    apart: str = ""
    measured: MeasuredRow | None = None
    published: Published | None = None

    @property
    def group(self) -> tuple[object, ...]:
        """Lines among which the best can be told."""
        return (self.model, self.task, self.published is None)

    def name_in(self, key: BlockKey) -> str:
        """Of the block that it belongs to."""
        if key == "model":
            return self.model
        if key == "task":
            return self.task or ""
        return self.method if key == "method" else self.options


def lines_of(spec: TableSpec, context: Context, quoted: Sequence[Quoted]) -> list[Line]:
    """All that a table may show, in its order of models and methods, what is quoted last."""
    lines = [
        line
        for one in context.comparisons
        for line in _measured(one, timed(one, context.records.timing))
    ]
    lines += [line for one in quoted for line in _quoted(one)]
    for attribute, wanted in (
        ("model", spec.models),
        ("task", spec.tasks),
        ("method", spec.methods),
    ):
        if wanted is not None:
            lines = [line for line in lines if getattr(line, attribute) in (*wanted, None)]
            order = {name: place for place, name in enumerate(wanted)}
            lines.sort(key=lambda line: order.get(getattr(line, attribute), -1))
    return lines


def by_task(spec: TableSpec, blocks: Sequence[BlockKey], lines: list[Line]) -> list[list[Line]]:
    """One table for each task, unless tasks are blocks or the table says which it has."""
    if spec.tasks is not None or "task" in blocks:
        return [lines]
    tasks = dict.fromkeys(line.task for line in lines if line.task is not None)
    return [[line for line in lines if line.task in (task, None)] for task in tasks] or [lines]


def _measured(comparison: Comparison, turns: TimedComparison | None) -> Iterator[Line]:
    for row in comparison.rows:
        apart = row.label.removeprefix(row.cells[0].label)
        options = ", ".join(row.options)
        measured = MeasuredRow(comparison, row, turns)
        yield Line(comparison.model, comparison.task, row.method, options, apart, measured)


def _quoted(one: Quoted) -> Iterator[Line]:
    """Every method of every model that has any number there."""
    published = one.published
    found = {
        (model, method): None
        for by_model in (published.scores, published.peak_gb)
        for model, methods in by_model.items()
        for method in methods
    }
    for model, method in found:
        yield Line(model, one.task, method, published=published)
