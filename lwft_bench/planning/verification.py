"""A few real steps of each cell against what was planned for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from lwft_bench.config.models import Cell
from lwft_bench.models.adapters import Adapter
from lwft_bench.planning.budget import WORKSPACE_BYTES
from lwft_bench.planning.draws import Draws
from lwft_bench.planning.flops import FlopCount
from lwft_bench.planning.steps import BatchShape, CellSteps, cell_steps, longest
from lwft_bench.planning.suite_plan import SuitePlan
from lwft_bench.planning.traits import traits_of
from lwft_bench.reporting import formatting as show
from lwft_bench.training.accounting import MemoryAccount
from lwft_bench.training.adapted import adapted_model, choose_device
from lwft_bench.training.meters import Account, PhasePeaks

TOLERANCE = 0.05
"""On an accelerator, beside what libraries may take. On the CPU not a byte may differ."""


@dataclass(frozen=True, slots=True)
class Measured:
    """allocated: the peak. reserved: what the caching allocator held for it; None on the CPU."""

    allocated: int
    reserved: int | None


def verify_plan(plan: SuitePlan, tell: Callable[[str], None]) -> bool:
    """Runs the planned steps of each kind of cell for real; whether all are as planned.

    On an accelerator the allocator's peak is compared with the planned one in its blocks; on the
    CPU, where there is no such allocator, the same account that plans counts a real run.

    Raises:
        UserError: A model's weights cannot be found or read.
    """
    seen: set[int] = set()
    passed = True
    for row in plan.rows:
        needed, drawn = row.plan.needed, row.plan.drawn
        if needed is None or id(needed) in seen:
            continue
        seen.add(id(needed))
        cell = row.plan.cell
        device = choose_device(cell.training.device)
        measured = measure(cell, row.plan.batch.shapes, drawn, device)
        planned = needed.peak_bytes if device.type == "cpu" else needed.rounded_peak_bytes
        difference = measured.allocated - planned
        agrees = as_planned(planned, measured, device)
        passed &= agrees
        tell(
            f"{'as planned' if agrees else 'NOT as planned'}: {cell.id} on {device}: planned "
            f"{planned:,} B, measured {measured.allocated:,} B ({difference:+,} B)"
            + (f"; reserved {show.memory(measured.reserved)}" if measured.reserved else "")
        )
    return passed


def as_planned(planned: int, measured: Measured, device: torch.device) -> bool:
    """Whether the peak is what was planned: by its bytes on the CPU, by blocks on an accelerator."""
    allowed = 0.0 if device.type == "cpu" else TOLERANCE * planned + WORKSPACE_BYTES
    return abs(measured.allocated - planned) <= allowed


def measure(
    cell: Cell, shapes: Sequence[BatchShape], drawn: Draws, device: torch.device
) -> Measured:
    """The peak of the steps that a plan runs, on the device, with the model's own weights."""
    before = _allocated(device)
    adapter, model = adapted_model(cell, 0, device)
    account = PhasePeaks(device) if device.type != "cpu" else MemoryAccount()
    if isinstance(account, PhasePeaks):
        _steps(cell, adapter, model, shapes, device, account).follow(drawn)
        return Measured(max(account.peaks.values()) - before, account.reserved)
    account.adopt([*model.parameters(), *model.buffers()], "weights")
    with account:
        _steps(cell, adapter, model, shapes, device, account).follow(drawn)
    return Measured(account.report().peak_bytes, None)


def _steps(
    cell: Cell,
    adapter: Adapter,
    model: nn.Module,
    shapes: Sequence[BatchShape],
    device: torch.device,
    account: Account,
) -> CellSteps[Account]:
    traits = traits_of(cell, longest(shapes))
    return cell_steps(cell, adapter, model, shapes, device, account, FlopCount(), traits=traits)


def _allocated(device: torch.device) -> int:
    if device.type == "cpu":
        return 0
    return int(torch.get_device_module(device).memory_allocated(device))
