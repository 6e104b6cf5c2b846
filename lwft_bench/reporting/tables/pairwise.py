"""The average of every method minus that of every other."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.families import Judged
from lwft_bench.reporting.numbers.verdicts import Pair, between
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Column, Table, plain_values, tabulate
from lwft_bench.reporting.tables.leading import about
from lwft_bench.reporting.tables.statistics_notes import beyond_noise_notes, interval_notes
from lwft_bench.schema.suite import AVERAGE

MOST_IN_PAIRS = 14
"""Methods of which each pair is shown; a larger table cannot be read."""

_Line = tuple[Pair, Judged]


def build(context: Context) -> Table | None:
    """None for few methods or many."""
    rows = [row for row in context.comparison.trained if AVERAGE in row.accuracy]
    if not 3 <= len(rows) <= MOST_IN_PAIRS:
        return None
    found = between(context.comparison, rows)
    labels = [row.label for row in rows]
    return tabulate(
        context.name("pairwise"),
        context.title("differences of averages between methods"),
        labels,
        [
            Column("method", str),
            *(Column(f"− {label}", partial(_of, found, label), show.judged) for label in labels),
        ],
        notes=[
            "Row minus column, percentage points of the average, paired by item and seed.",
            *interval_notes(one.paired for one in found.values()),
            *beyond_noise_notes(found),
        ],
        values=plain_values(
            sorted(found.items(), key=lambda line: [labels.index(label) for label in line[0]]),
            [*about(context), *_LONG],
        ),
    )


def _of(found: Mapping[Pair, Judged], other: str, label: str) -> Judged | None:
    return found.get((label, other))


_LONG: list[Column[_Line]] = [
    Column(None, lambda line: line[0][0], plain="method"),
    Column(None, lambda line: line[0][1], plain="minus"),
    Column(None, lambda line: line[1].paired.estimate.mean, plain="difference"),
    Column(None, lambda line: line[1].paired.low, plain="low"),
    Column(None, lambda line: line[1].paired.high, plain="high"),
    Column(None, lambda line: line[1].paired.estimate.num_seeds, plain="seeds"),
    Column(None, lambda line: line[1].adjusted, plain="p_holm"),
    Column(None, lambda line: line[1].verdict, plain="beyond_noise"),
]
