"""Each ablated value against the first value of its method."""

from __future__ import annotations

from lwft_bench.reporting.numbers.comparison import Row, differences
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.measurements import peak_bytes, speed
from lwft_bench.reporting.numbers.statistics import PairedDifference
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Column, Table, tabulate
from lwft_bench.reporting.tables.leading import about
from lwft_bench.schema.suite import AVERAGE


def build(context: Context) -> Table | None:
    """None if nothing is ablated."""
    ablated = [row for row in context.comparison.rows if row.options]
    if not ablated:
        return None
    first: dict[str, Row] = {}
    for row in ablated:
        first.setdefault(row.method, row)
    against_first = {
        row.label: differences(row, first[row.method]).get(AVERAGE)
        for row in ablated
        if row is not first[row.method]
    }
    return tabulate(
        context.name("ablations"),
        context.title("ablations"),
        ablated,
        [*about(context), *_columns(against_first)],
        notes=["Average accuracy in percent; differences paired by item and seed."],
    )


def _columns(against_first: dict[str, PairedDifference | None]) -> list[Column[Row]]:
    return [
        Column("method", lambda row: row.method, plain="method"),
        Column("option", lambda row: ", ".join(row.options), plain="option", text=True),
        Column(
            "average",
            lambda row: row.accuracy.get(AVERAGE),
            show.accuracy,
            {"average": lambda one: one.mean, "average_stderr": lambda one: one.stderr},
        ),
        Column(
            "against the first value [95 %]",
            lambda row: against_first.get(row.label, "first value"),
            lambda paired: paired if isinstance(paired, str) else show.difference(paired),
        ),
        Column(
            None,
            lambda row: against_first.get(row.label),
            plain={
                "difference": lambda paired: paired.estimate.mean,
                "difference_low": lambda paired: paired.low,
                "difference_high": lambda paired: paired.high,
            },
        ),
        Column("peak memory", peak_bytes, show.memory),
        Column("tokens/s", speed, show.speed),
        Column("status", lambda row: row.status, plain="status", text=True),
    ]
