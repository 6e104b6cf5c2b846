"""What a suite costs in time, by throughput that is stated or was measured. Light to import."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lwft_bench.results.timing import TIMING, read_timing
from lwft_bench.schema.errors import UserError

if TYPE_CHECKING:
    from lwft_bench.planning.suite_plan import SuitePlan

_SECONDS_AN_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Throughputs:
    """Tokens per second, padding included.

    by_method: of a method, `METHOD`, or of one on a model, `MODEL METHOD`; "" stands for all others.
    device: what it was measured on, where it was. source: in words.
    """

    by_method: Mapping[str, float]
    device: str | None = None
    source: str = "that was stated"

    def of(self, model: str, method: str) -> float | None:
        """The method's on the model; None where nothing is said of it."""
        keys = (f"{model} {method}", method, "")
        return next((self.by_method[key] for key in keys if key in self.by_method), None)


@dataclass(frozen=True, slots=True)
class CellCost:
    """tokens: of its training steps, of each process that shares out the model. hours: on one device;
    None where nothing is known of its method, and for a cell of several devices.
    """

    cell_id: str
    method: str
    tokens: int
    hours: float | None


@dataclass(frozen=True, slots=True)
class SuiteCost:
    """What a suite costs on so many devices of a name. by_device: the cells of each, in order. source:
    where the throughput is from, in words.
    """

    device: str
    source: str
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
        """Methods whose throughput is not known."""
        return sorted({cell.method for cell in self.cells if cell.hours is None})


def parse_throughputs(text: str) -> Throughputs:
    """Of `6000`, of `A=5200,B=6100`, or of a run directory whose methods were timed.

    Raises:
        UserError: It is none of these, or nothing was timed there.
    """
    path = Path(text)
    if path.name and (path.name == TIMING or path.is_dir()):
        return _measured(path.parent if path.name == TIMING else path)
    found: dict[str, float] = {}
    for part in text.split(","):
        method, _, number = part.strip().rpartition("=")
        try:
            found[method] = float(number)
        except ValueError:
            found[method] = math.nan
        if not 0.0 < found[method] < math.inf:
            raise UserError(
                "--tokens-per-second: expected a number such as 6000, METHOD=5200,..., or the directory "
                f"of a run that timed its methods, found {text!r}"
            )
    return Throughputs(found)


def _measured(directory: Path) -> Throughputs:
    """All tokens of a method's timed steps on a model by all their seconds."""
    header, rows = read_timing(directory)
    timed = [one for one in header.sets if one.cells] if header else []
    if not rows:
        raise UserError(
            f"{directory}: no methods were timed there",
            "`lwft-bench time SUITE` times them",
        )
    names = {cell.cell: f"{one.model} {cell.method}" for one in timed for cell in one.cells}
    tokens: defaultdict[str, int] = defaultdict(int)
    seconds: defaultdict[str, float] = defaultdict(float)
    for row in rows:
        tokens[names[row.cell]] += row.padded_tokens
        seconds[names[row.cell]] += row.seconds
    return Throughputs(
        {name: tokens[name] / seconds[name] for name in tokens},
        ", ".join(dict.fromkeys(one.device for one in timed)),
        f"measured in {directory}",
    )


def cost_of(
    plan: SuitePlan, throughputs: Throughputs, device: str | None, num_devices: int
) -> SuiteCost:
    """The cost of the suite's training steps.

    Args:
        device: What such a device is called; None: as where it was measured.
    """
    cells = []
    for row in plan.rows:
        cell = row.plan.cell
        tokens = cell.training.steps * row.plan.batch.tokens
        speed = throughputs.of(cell.model.name, cell.method.name)
        method = cell.method.name
        if processes := cell.training.sharded:
            speed, method = None, f"{method} (over {processes} devices)"
        hours = None if speed is None else tokens / speed / _SECONDS_AN_HOUR
        cells.append(CellCost(cell.id, method, tokens, hours))
    name = device or throughputs.device or "the device"
    return SuiteCost(name, throughputs.source, tuple(cells), shared_out(cells, num_devices))


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
        "throughput": cost.source,
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
        hours = _shown(_hours(cells)) if known else "throughput not known"
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
        lines.append(
            f"Not counted, since their throughput is not known: {', '.join(cost.unknown)}."
        )
    lines.append(
        "Of training steps with the longest batch, padding included, at the throughput "
        f"{cost.source}; probing, loading, validation and evaluation are not in it."
    )
    return "\n".join(lines)


def _hours(cells: list[CellCost] | tuple[CellCost, ...]) -> float:
    return math.fsum(cell.hours or 0.0 for cell in cells)


def _cells(number: int) -> str:
    return f"{number} cell{'' if number == 1 else 's'}"


def _shown(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"
