"""What a suite costs in time, by throughput that somebody states. Light to import."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lwft_bench.schema.errors import UserError

if TYPE_CHECKING:
    from lwft_bench.planning.suite_plan import SuitePlan

_SECONDS_AN_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class CellCost:
    """tokens: of its training steps. hours: on one device; None where no throughput is stated for its
    method.
    """

    cell_id: str
    method: str
    tokens: int
    hours: float | None


@dataclass(frozen=True, slots=True)
class SuiteCost:
    """What a suite costs on so many devices of a name. by_device: the cells of each, in order."""

    device: str
    cells: tuple[CellCost, ...]
    by_device: tuple[tuple[CellCost, ...], ...]

    @property
    def device_hours(self) -> float:
        """Of the cells for which it is known."""
        return math.fsum(cell.hours or 0.0 for cell in self.cells)

    @property
    def hours(self) -> float:
        """From the first cell's beginning to the last one's end."""
        return max((_hours(cells) for cells in self.by_device), default=0.0)

    @property
    def unknown(self) -> list[str]:
        """Methods for which no throughput is stated."""
        return sorted({cell.method for cell in self.cells if cell.hours is None})


def parse_throughputs(text: str) -> dict[str, float]:
    """Tokens per second by method of `6000`, or of `A=5200,B=6100`; "" stands for all others.

    Raises:
        UserError: It is neither.
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        method, _, number = part.strip().rpartition("=")
        try:
            found[method] = float(number)
        except ValueError:
            found[method] = math.nan
        if not 0.0 < found[method] < math.inf:
            raise UserError(
                f"--tokens-per-second: expected a number such as 6000, or METHOD=5200,..., "
                f"found {text!r}"
            )
    return found


def cost_of(
    plan: SuitePlan, throughputs: Mapping[str, float], device: str, num_devices: int
) -> SuiteCost:
    """The cost of the suite's training steps.

    Args:
        throughputs: Tokens a second, by method; "" is for those that are not named.
        device: What such a device is called.
    """
    cells = []
    for row in plan.rows:
        cell = row.plan.cell
        tokens = cell.training.steps * row.plan.batch.tokens
        speed = throughputs.get(cell.method.name, throughputs.get(""))
        hours = None if speed is None else tokens / speed / _SECONDS_AN_HOUR
        cells.append(CellCost(cell.id, cell.method.name, tokens, hours))
    return SuiteCost(device, tuple(cells), shared_out(cells, num_devices))


def shared_out(cells: list[CellCost], num_devices: int) -> tuple[tuple[CellCost, ...], ...]:
    """The longest cell first, each on the device that is free first: no more than a third longer than
    the shortest that is possible (Graham 1969, Bounds on multiprocessing timing anomalies, theorem 2).
    """
    known = [cell for cell in cells if cell.hours is not None]
    devices: list[list[CellCost]] = [[] for _ in range(num_devices)]
    free = [(0.0, number) for number in range(num_devices)]
    for cell in sorted(known, key=lambda cell: -(cell.hours or 0.0)):
        at, number = heapq.heappop(free)
        devices[number].append(cell)
        heapq.heappush(free, (at + (cell.hours or 0.0), number))
    return tuple(map(tuple, devices))


def cost_as_json(cost: SuiteCost) -> dict[str, Any]:
    """For programs; hours that are null are not known."""
    return {
        "device": cost.device,
        "device_hours": cost.device_hours,
        "hours": cost.hours,
        "cells": [
            {"id": cell.cell_id, "tokens": cell.tokens, "hours": cell.hours} for cell in cost.cells
        ],
        "by_device": [[cell.cell_id for cell in cells] for cells in cost.by_device],
    }


def cost_as_text(cost: SuiteCost) -> str:
    """A line a method, one a device, and what it comes to."""
    lines = ["", f"What it costs on {cost.device}:", ""]
    for method in dict.fromkeys(cell.method for cell in cost.cells):
        cells = [cell for cell in cost.cells if cell.method == method]
        tokens = sum(cell.tokens for cell in cells)
        known = all(cell.hours is not None for cell in cells)
        hours = _shown(_hours(cells)) if known else "no throughput stated"
        lines.append(f"- {method}: {_cells(len(cells))}, {tokens:,} tokens, {hours}")
    lines += ["", f"{_shown(cost.device_hours)} of one device together."]
    number = len(cost.by_device)
    lines.append(
        f"On {number} device{'s' if number > 1 else ''}, longest first: {_shown(cost.hours)}."
    )
    if number > 1:
        shares = (f"{_cells(len(cells))} in {_shown(_hours(cells))}" for cells in cost.by_device)
        lines.append(f"Cells by device: {'; '.join(shares)}.")
    if cost.unknown:
        lines.append(f"Not counted, since no throughput is stated: {', '.join(cost.unknown)}.")
    lines.append(
        "Of training steps with the longest batch, padding included, at the throughput that was "
        "stated; probing, loading, validation and evaluation are not in it."
    )
    return "\n".join(lines)


def _hours(cells: list[CellCost] | tuple[CellCost, ...]) -> float:
    return math.fsum(cell.hours or 0.0 for cell in cells)


def _cells(number: int) -> str:
    return f"{number} cell{'' if number == 1 else 's'}"


def _shown(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"
