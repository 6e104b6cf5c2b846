"""Every cell that is not done."""

from __future__ import annotations

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.read.records import ReportedCell
from lwft_bench.reporting.render.formatting import NOTHING
from lwft_bench.reporting.render.table import Column, Table, tabulate


def build(context: Context) -> Table:
    """No rows when all cells are done."""
    cells = [cell for cell in context.records.cells if not cell.done]
    return tabulate(
        "failures",
        "Cells that are not done",
        cells,
        _COLUMNS,
        notes=() if cells else ("Every cell is done.",),
    )


def _phase(cell: ReportedCell) -> str:
    failure = cell.result.failure if cell.result else None
    return failure.phase if failure else NOTHING


_COLUMNS: list[Column[ReportedCell]] = [
    Column("cell", lambda cell: cell.id, plain="cell", text=True),
    Column("status", lambda cell: cell.status, plain="status", text=True),
    Column("phase", _phase, plain="phase", text=True),
    Column("error", lambda cell: cell.error or NOTHING, plain="error", text=True),
]
