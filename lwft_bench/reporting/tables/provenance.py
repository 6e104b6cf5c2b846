"""What the compared results were made with."""

from __future__ import annotations

from typing import Any

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.read.flat import flatten
from lwft_bench.reporting.render.table import Column, Table, tabulate

_PER_CELL = ("started", "finished")
"""Differ from cell to cell by nature: the first and last are shown."""

_COLUMNS: list[Column[tuple[str, str]]] = [
    Column("what", lambda row: row[0], plain="what", text=True),
    Column("value", lambda row: row[1], plain="value", text=True),
]


def build(context: Context) -> Table | None:
    """Versions, machine, commit, command and times; every value found is shown."""
    found: dict[str, list[str]] = {}
    for cell in context.records.cells:
        if cell.result:
            for key, value in flatten(cell.result.provenance):
                found.setdefault(key, []).append(_text(key, value))
    if not found:
        return None
    rows = [
        (key, f"{min(values)} to {max(values)}" if key in _PER_CELL else _distinct(values))
        for key, values in found.items()
    ]
    return tabulate("provenance", "Provenance", rows, _COLUMNS)


def _distinct(values: list[str]) -> str:
    distinct = list(dict.fromkeys(values))
    return distinct[0] if len(distinct) == 1 else "differs: " + "; ".join(distinct)


def _text(key: str, value: Any) -> str:
    if value is None:
        return "none"
    if key.endswith("_bytes"):
        return f"{value / 2**30:.1f} GiB"
    return str(value)
