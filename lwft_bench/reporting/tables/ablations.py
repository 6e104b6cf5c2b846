"""Each ablated value against the first value of its method."""

from __future__ import annotations

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.families import Judged, judge
from lwft_bench.reporting.numbers.measurements import peak_bytes, speed
from lwft_bench.reporting.numbers.rows import Row, differences
from lwft_bench.reporting.numbers.verdicts import seed_variances
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Column, Table, tabulate
from lwft_bench.reporting.tables.leading import about
from lwft_bench.reporting.tables.statistics_notes import beyond_noise_notes, interval_notes
from lwft_bench.schema.suite import AVERAGE


def build(context: Context) -> Table | None:
    """None if nothing is ablated."""
    ablated = [row for row in context.comparison.rows if row.options]
    if not ablated:
        return None
    first: dict[str, Row] = {}
    for row in ablated:
        first.setdefault(row.method, row)
    pooled = seed_variances(context.comparison, AVERAGE)
    pairs = {
        row.label: paired
        for row in ablated
        if row is not first[row.method]
        and (paired := differences(row, first[row.method]).get(AVERAGE)) is not None
    }
    against_first = judge(pairs, pooled.__getitem__)
    return tabulate(
        context.name("ablations"),
        context.title("ablations"),
        ablated,
        [*about(context), *_columns({row.label for row in first.values()}, against_first)],
        notes=[
            "Average accuracy in percent; differences paired by item and seed.",
            *interval_notes(pairs.values()),
            *beyond_noise_notes(against_first),
        ],
    )


def _option(row: Row) -> str:
    """The ablated values, and what sets the row apart from one that has the same."""
    return ", ".join(row.options) + row.label.removeprefix(row.cells[0].label)


def _columns(first: set[str], against_first: dict[str, Judged]) -> list[Column[Row]]:
    return [
        Column("method", lambda row: row.method, plain="method"),
        Column("option", _option, plain="option", text=True),
        Column(
            "average",
            lambda row: row.accuracy.get(AVERAGE),
            show.accuracy,
            {"average": lambda one: one.mean, "average_stderr": lambda one: one.stderr},
        ),
        Column(
            "against the first value [95 %]",
            lambda row: "first value" if row.label in first else against_first.get(row.label),
            lambda found: found if isinstance(found, str) else show.judged(found),
        ),
        Column(
            None,
            lambda row: against_first.get(row.label),
            plain={
                "difference": lambda found: found.paired.estimate.mean,
                "difference_low": lambda found: found.paired.low,
                "difference_high": lambda found: found.paired.high,
                "p_holm": lambda found: found.adjusted,
                "beyond_noise": lambda found: found.verdict,
            },
        ),
        Column("peak memory", peak_bytes, show.memory),
        Column("tokens/s", speed, show.speed),
        Column("status", lambda row: row.status, plain="status", text=True),
    ]
