"""What the compared results were made with."""

from __future__ import annotations

from typing import Any

import pandas as pd

from lwft_bench.reporting.read.records import RunRecords, flatten
from lwft_bench.reporting.render.table import Table

_PER_CELL = ("started", "finished")
"""Differ from cell to cell by nature: the first and last are shown."""


def provenance_table(records: RunRecords) -> Table:
    """Versions, machine, commit, command and times; every value found is shown."""
    found: dict[str, list[str]] = {}
    for cell in records.cells:
        if cell.result:
            for key, value in flatten(cell.result.provenance):
                found.setdefault(key, []).append(_text(key, value))
    rows = [
        (key, f"{min(values)} to {max(values)}" if key in _PER_CELL else _distinct(values))
        for key, values in found.items()
    ]
    frame = pd.DataFrame(rows, columns=["what", "value"])
    return Table("provenance", "Provenance", frame, frame, (), ("what", "value"))


def _distinct(values: list[str]) -> str:
    distinct = list(dict.fromkeys(values))
    return distinct[0] if len(distinct) == 1 else "differs: " + "; ".join(distinct)


def _text(key: str, value: Any) -> str:
    if value is None:
        return "none"
    if key.endswith("_bytes"):
        return f"{value / 2**30:.1f} GiB"
    return str(value)
