"""What was planned beside the peaks of memory that others printed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lwft_bench.planning.budget import Allowance
from lwft_bench.planning.suite_plan import PlanRow, SuitePlan
from lwft_bench.reporting.render.table import Column, Table, tabulate
from lwft_bench.schema.cell import Cell


@dataclass(frozen=True)
class _Line:
    """One cell. Peaks in GB of 10^9 bytes, `published` as its source writes it."""

    label: str
    planned: float
    with_allowance: float
    published: float
    conditions: str
    conditions_there: str


def published_peaks(plan: SuitePlan, rows: Mapping[str, PlanRow]) -> Iterator[Table]:
    """One line for each cell whose method and model have a published peak; no table where none has."""
    published = plan.suite.published
    if published is None:
        return
    lines = []
    for label, row in rows.items():
        cell, needed = row.plan.cell, row.plan.needed
        peaks = published.peak_gb.get(cell.model.name, {})
        if needed is None or cell.method.name not in peaks:
            continue
        allowed = needed.rounded_peak_bytes + Allowance.of(needed).total
        lines.append(
            _Line(
                label,
                needed.peak_bytes / 1e9,
                allowed / 1e9,
                peaks[cell.method.name],
                conditions_of(cell),
                published.conditions_of(cell.model.name),
            )
        )
    if lines:
        yield tabulate(
            "plan_published",
            f"{plan.suite.title}: planned beside published",
            lines,
            _COLUMNS,
            notes=(
                f"Published: {published.source.rstrip('.')}.",
                "Planned peaks are in GB of 10^9 bytes, published ones as their source writes them; GiB "
                "would be 7 % fewer. What was reserved or measured by the driver is more than the peak.",
            ),
        )


def conditions_of(cell: Cell) -> str:
    """What a cell's memory depends on most, in one line."""
    training = cell.training
    rows = training.micro_batch_size or training.batch_size
    recomputed = "" if training.checkpointing else "no "
    return f"{rows} x {training.max_length} tokens, {training.precision}, {recomputed}checkpointing"


def _gb(value: float) -> str:
    return f"{value:.1f}"


_COLUMNS: list[Column[_Line]] = [
    Column("cell", lambda line: line.label, plain="cell"),
    Column("planned, GB", lambda line: line.planned, _gb, plain="planned_gb"),
    Column("with allowance", lambda line: line.with_allowance, _gb, plain="with_allowance_gb"),
    Column("published", lambda line: line.published, _gb, plain="published_gb"),
    Column(
        "published / planned",
        lambda line: line.published / line.planned,
        lambda ratio: f"{ratio:.2f}",
        plain="ratio",
    ),
    Column("planned for", lambda line: line.conditions, plain="conditions"),
    Column("conditions there", lambda line: line.conditions_there, plain="conditions_there"),
]
