"""Paired differences to the baseline, benchmark by benchmark."""

from __future__ import annotations

from functools import partial

from lwft_bench.reporting.numbers.comparison import Row
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.statistics import PairedDifference
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Column, Table, plain_values, tabulate
from lwft_bench.reporting.tables.leading import about
from lwft_bench.schema.suite import AVERAGE

_BEYOND_NOISE = (
    "Beyond noise: of the average; both the interval over seeds and the interval over items "
    "exclude zero."
)
Pair = tuple[str, str, PairedDifference]
"""Method, benchmark or `AVERAGE`, and the difference."""


def build(context: Context) -> Table | None:
    """None without a baseline."""
    comparison = context.comparison
    rows = [row for row in comparison.rows if row.differences]
    if comparison.baseline is None or not rows:
        return None
    columns: list[Column[Row]] = [
        Column("method", lambda row: row.label),
        *(
            Column(key, partial(_difference, key), show.difference)
            for key in (*comparison.benchmarks, AVERAGE)
        ),
        Column("beyond noise", partial(_difference, AVERAGE), _verdict, text=True),
    ]
    return tabulate(
        context.name("differences"),
        context.title(f"differences to {comparison.baseline.label} in percentage points [95 %]"),
        rows,
        columns,
        notes=[_BEYOND_NOISE],
        values=plain_values(
            [(row.label, key, one) for row in rows for key, one in row.differences.items()],
            [*about(context), *_LONG],
        ),
    )


def _difference(key: str, row: Row) -> PairedDifference | None:
    return row.differences.get(key)


def _verdict(paired: PairedDifference) -> str:
    return "yes" if paired.beyond_noise else "no"


_LONG: list[Column[Pair]] = [
    Column(None, lambda pair: pair[0], plain="method"),
    Column(None, lambda pair: pair[1], plain="benchmark"),
    Column(
        None,
        lambda pair: pair[2],
        plain={
            "difference": lambda one: one.estimate.mean,
            "low": lambda one: one.low,
            "high": lambda one: one.high,
            "stderr": lambda one: one.estimate.stderr,
            "item_stderr": lambda one: one.estimate.item_stderr,
            "seeds": lambda one: one.estimate.num_seeds,
            "items": lambda one: one.estimate.num_items,
            "beyond_noise": lambda one: one.beyond_noise,
        },
    ),
]
