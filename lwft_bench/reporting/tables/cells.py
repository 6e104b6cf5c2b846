"""Every cell with its status, average and digests; the CSV has every scalar of its result."""

from __future__ import annotations

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.read.records import ReportedCell
from lwft_bench.reporting.render.table import Column, Table, tabulate


def build(context: Context) -> Table:
    """One row a cell."""
    return tabulate(
        "cells",
        "Cells",
        context.records.cells,
        _COLUMNS,
        notes=["Digests: the first 12 of 64 hexadecimal digits; in full in the CSV file."],
        values=context.records.results,
    )


def _average(cell: ReportedCell) -> float | None:
    return cell.result.average if cell.result else None


def _weights(cell: ReportedCell) -> str | None:
    return cell.result.weights_digest if cell.result else None


_COLUMNS: list[Column[ReportedCell]] = [
    Column("cell", lambda cell: cell.id),
    Column("status", lambda cell: cell.status, text=True),
    Column("average (%)", _average, lambda average: f"{100 * average:.1f}"),
    Column("weights digest", _weights, lambda digest: digest[:12], text=True),
    Column(
        "identity",
        lambda cell: cell.result and cell.result.identity,
        lambda digest: digest[:12],
        text=True,
    ),
]
