"""Did each method do what it says: checks passed of checks made, over the done cells."""

from __future__ import annotations

from functools import partial

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.rows import Row
from lwft_bench.reporting.render.table import Column, Table, plain_values, tabulate
from lwft_bench.reporting.tables.leading import about
from lwft_bench.schema.result import Check

Checked = tuple[str, Check]
"""A cell and one of its checks."""


def build(context: Context) -> Table | None:
    """None where nothing was checked."""
    rows = [
        row for row in context.comparison.rows if any(result.engagement for result in row.results)
    ]
    if not rows:
        return None
    checked = [one for row in rows for one in _checks(row)]
    names = dict.fromkeys(check.name for _, check in checked)
    return tabulate(
        context.name("engagement"),
        context.title("engagement"),
        rows,
        [
            Column("method", lambda row: row.label),
            Column("engaged", _verdict),
            *(Column(name, partial(_passed, name)) for name in names),
        ],
        notes=[
            "Judged from the trace of each run, not from its config.",
            *(
                f"{cell} failed {check.name}: {check.detail}"
                for cell, check in checked
                if not check.passed
            ),
        ],
        values=plain_values(checked, [*about(context), *_LONG]),
    )


def _checks(row: Row) -> list[Checked]:
    return [
        (result.cell, check)
        for result in row.results
        if result.engagement
        for check in result.engagement.checks
    ]


def _verdict(row: Row) -> str:
    verdicts = [result.engagement.passed for result in row.results if result.engagement]
    return f"{sum(verdicts)} of {len(verdicts)} cells"


def _passed(name: str, row: Row) -> str | None:
    passed = [check.passed for _, check in _checks(row) if check.name == name]
    return f"{sum(passed)} of {len(passed)}" if passed else None


_LONG: list[Column[Checked]] = [
    Column(None, lambda one: one[0], plain="cell"),
    Column(None, lambda one: one[1].name, plain="name"),
    Column(None, lambda one: one[1].passed, plain="passed"),
    Column(None, lambda one: one[1].detail, plain="detail"),
]
