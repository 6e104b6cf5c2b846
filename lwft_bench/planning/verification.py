"""A few real steps of each cell against what was planned for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from lwft_bench.adapters.base import Adapter
from lwft_bench.dry_run.planned_selections import PlannedSelections
from lwft_bench.dry_run.steps import BatchShape, CellSteps, cell_steps, longest
from lwft_bench.dry_run.traits import traits_of
from lwft_bench.memory.accounting import MemoryAccount
from lwft_bench.memory.flops import FlopCount
from lwft_bench.memory.meters import Account, PhasePeaks, allocated_bytes
from lwft_bench.memory.valued_fakes import EvenChoices
from lwft_bench.planning.budget import WORKSPACE_BYTES
from lwft_bench.planning.plan import by_phase
from lwft_bench.planning.suite_plan import SuitePlan
from lwft_bench.reporting.render import formatting as show
from lwft_bench.schema.cell import Cell
from lwft_bench.training.adapted import adapted_model, choose_device, random_adapted_model
from lwft_bench.training.assembly import Surroundings

TOLERANCE = 0.05
"""On an accelerator, beside what libraries may take. On the CPU not a byte may differ."""


@dataclass(frozen=True, slots=True)
class _Measured:
    """allocated: the peak. reserved: what the caching allocator held for it; None on the CPU.
    phases: the peak of each.
    """

    allocated: int
    reserved: int | None
    phases: dict[str, int]


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
        if cell.training.sharded:
            tell(
                f"not verified: {cell.id}: its {cell.training.sharded} processes cannot be run here"
            )
            continue
        device = choose_device(cell.training.device)
        measured = measured_peak(cell, row.plan.batch.shapes, drawn, device)
        planned = needed.peak_bytes if device.type == "cpu" else needed.rounded_peak_bytes
        difference = measured.allocated - planned
        agrees = as_planned(planned, measured, device)
        passed &= agrees
        tell(
            f"{'as planned' if agrees else 'NOT as planned'}: {cell.id} on {device}: planned "
            f"{planned:,} B, measured {measured.allocated:,} B ({difference:+,} B)"
            + (f"; reserved {show.memory(measured.reserved)}" if measured.reserved else "")
        )
        if row.plan.even_choices:
            own = measured_peak(cell, row.plan.batch.shapes, drawn, device, even=False).allocated
            tell(
                f"as chosen: {cell.id} on {device}: measured {own:,} B ({own - planned:+,} B) with the "
                "model's own choices on a batch of one token repeated, the most uneven there are"
            )
    return passed


def as_planned(planned: int, measured: _Measured, device: torch.device) -> bool:
    """Whether the peak is what was planned: by its bytes on the CPU, by blocks on an accelerator."""
    allowed = 0.0 if device.type == "cpu" else TOLERANCE * planned + WORKSPACE_BYTES
    return abs(measured.allocated - planned) <= allowed


def measured_peak(
    cell: Cell,
    shapes: Sequence[BatchShape],
    drawn: PlannedSelections,
    device: torch.device,
    *,
    even: bool = True,
) -> _Measured:
    """The peak of the steps that a plan runs, on the device, with the model's own weights.

    A model given by its config has random ones, drawn on the device.

    Args:
        even: Routers choose as in a plan, where shapes depend on that; else as the weights say.
    """
    even = even and traits_of(cell, longest(shapes)).even_choices
    with EvenChoices() if even else nullcontext():
        return _measured_peak(cell, shapes, drawn, device)


def _measured_peak(
    cell: Cell, shapes: Sequence[BatchShape], drawn: PlannedSelections, device: torch.device
) -> _Measured:
    before = allocated_bytes(device) or 0
    make = random_adapted_model if cell.model.path is None else adapted_model
    adapted = make(cell, 0, device)
    account = PhasePeaks(device) if device.type != "cpu" else MemoryAccount()
    if isinstance(account, PhasePeaks):
        _steps(cell, adapted, shapes, device, account).follow(drawn)
        peaks = {name: peak - before for name, peak in account.peaks.items()}
        return _Measured(max(peaks.values()), account.reserved, by_phase(peaks))
    account.adopt([*adapted[1].parameters(), *adapted[1].buffers()], "weights")
    with account:
        _steps(cell, adapted, shapes, device, account).follow(drawn)
    report = account.report()
    return _Measured(report.peak_bytes, None, by_phase(report.phases))


def _steps(
    cell: Cell,
    adapted: tuple[Adapter, nn.Module],
    shapes: Sequence[BatchShape],
    device: torch.device,
    account: Account,
) -> CellSteps[Account]:
    traits = traits_of(cell, longest(shapes))
    surroundings = Surroundings(device, account)
    return cell_steps(cell, adapted, shapes, surroundings, FlopCount(), traits=traits)
