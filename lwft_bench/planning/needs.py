"""What cells need of a device, for whoever puts several on one."""

from __future__ import annotations

from collections.abc import Sequence

from lwft_bench.planning.budget import Allowance
from lwft_bench.planning.plan import Planner
from lwft_bench.plugins.files import load_plugin
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import UserError


def bytes_needed(cells: Sequence[Cell]) -> dict[str, int]:
    """Cell id -> peak with allowance, of the cells that can be planned; evaluation is no part of it."""
    for plugin in {plugin: None for cell in cells for plugin in cell.plugins}:
        load_plugin(plugin)
    planner, found = Planner(), {}
    for cell in cells:
        if not cell.method.trains:
            continue
        try:
            needed = planner.plan(cell).needed
        except UserError:  # it will be a row of the report
            continue
        if needed is not None:
            found[cell.id] = needed.rounded_peak_bytes + Allowance.of(needed).total
    return found
