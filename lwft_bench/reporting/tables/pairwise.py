"""The average of every method minus that of every other."""

from __future__ import annotations

from functools import partial

from lwft_bench.reporting.numbers.comparison import differences
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.statistics import PairedDifference
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Column, Table, plain_values, tabulate
from lwft_bench.reporting.tables.leading import about
from lwft_bench.schema.suite import AVERAGE

MOST_IN_PAIRS = 12
"""Methods of which each pair is shown; a larger table cannot be read."""

Pair = tuple[str, str, PairedDifference | None]


def build(context: Context) -> Table | None:
    """None for few methods or many."""
    rows = [row for row in context.comparison.trained if AVERAGE in row.accuracy]
    if not 3 <= len(rows) <= MOST_IN_PAIRS:
        return None
    pairs = {
        (row.label, other.label): differences(row, other).get(AVERAGE)
        for row in rows
        for other in rows
        if row is not other
    }
    labels = [row.label for row in rows]

    def against(other: str, label: str) -> PairedDifference | None:
        return pairs.get((label, other))

    return tabulate(
        context.name("pairwise"),
        context.title("differences of averages between methods"),
        labels,
        [
            Column("method", str),
            *(Column(f"− {label}", partial(against, label), show.difference) for label in labels),
        ],
        notes=[
            "Row minus column, percentage points of the average, paired by item and seed. 95 % "
            "interval: Student's over seeds; over items where one seed is shared. No correction for "
            f"{len(pairs) // 2} comparisons."
        ],
        values=plain_values(
            [(label, other, paired) for (label, other), paired in pairs.items()],
            [*about(context), *_LONG],
        ),
    )


_LONG: list[Column[Pair]] = [
    Column(None, lambda pair: pair[0], plain="method"),
    Column(None, lambda pair: pair[1], plain="minus"),
    Column(
        None,
        lambda pair: pair[2],
        plain={
            "difference": lambda one: one.estimate.mean,
            "low": lambda one: one.low,
            "high": lambda one: one.high,
            "seeds": lambda one: one.estimate.num_seeds,
            "beyond_noise": lambda one: one.beyond_noise,
        },
    ),
]
