"""The run's scores beside those that others printed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.estimates import Estimate
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Column, Table, tabulate
from lwft_bench.reporting.tables.leading import about
from lwft_bench.schema.suite import AVERAGE, Published

_CAUTION = (
    "Accuracy in percent. ±: one standard error of what was measured here; that of the published "
    "numbers is not known. What was not published of the settings had to be inferred or chosen (the "
    "suite's comments mark it), and a difference can be due to any of that."
)


@dataclass(frozen=True)
class _Line:
    """One method on one benchmark. percent: as published."""

    method: str
    benchmark: str
    here: Estimate | None
    percent: float | None


def build(context: Context) -> Table | None:
    """One line for each method and benchmark that the source has numbers of.

    None where it has none of this model, or where nothing is scored yet.
    """
    published, comparison = context.records.published, context.comparison
    by_method = published.scores.get(comparison.model, {}) if published else {}
    printed = {benchmark for scores in by_method.values() for benchmark in scores}
    benchmarks = [key for key in (*comparison.benchmarks, AVERAGE) if key in printed]
    rows = [row for row in comparison.rows if by_method.get(row.method)]
    if published is None or not comparison.scored or not benchmarks or not rows:
        return None
    lines = [
        _Line(row.label, key, row.accuracy.get(key), by_method[row.method].get(key))
        for row in rows
        for key in benchmarks
    ]
    lacking = [row.label for row in comparison.rows if not by_method.get(row.method)]
    return tabulate(
        context.name("published"),
        context.title("against the published numbers"),
        lines,
        [*about(context), *_COLUMNS],
        notes=(
            source_note(published),
            *((f"Without numbers there: {show.listing(lacking)}.",) if lacking else ()),
            f"The average here is over {show.listing(comparison.benchmarks)}.",
            _CAUTION,
        ),
    )


def source_note(published: Published) -> str:
    """Where the numbers stand, and what was read."""
    caution = "; a language model's summary of it, in which single cells may be wrong"
    return f"Published: {published.source.rstrip('.')}{caution * (published.kind == 'summary')}."


def _difference(line: _Line) -> str | None:
    if line.here is None or line.percent is None:
        return None
    points = show.points(line.here.mean - line.percent / 100)
    stderr = line.here.stderr
    return points if math.isnan(stderr) else f"{points} ± {100 * stderr:.1f}"


_COLUMNS: list[Column[_Line]] = [
    Column("method", lambda line: line.method, plain="method"),
    Column("benchmark", lambda line: line.benchmark, plain="benchmark", text=True),
    Column(
        "here",
        lambda line: line.here,
        show.accuracy,
        {
            "here": lambda here: here.mean,
            "here_stderr": lambda here: here.stderr,
            "seeds": lambda here: here.num_seeds,
            "items": lambda here: here.num_items,
        },
    ),
    Column(
        "published",
        lambda line: line.percent,
        lambda percent: f"{percent:.2f}",
        {"published": lambda percent: percent / 100},
    ),
    Column("here − published", _difference),
]
