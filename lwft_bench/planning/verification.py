"""A few real steps of each cell against what was planned for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from lwft_bench.config.models import Cell
from lwft_bench.models.adapters import Adapter
from lwft_bench.models.dropout import remove_dropout
from lwft_bench.models.loading import alters_logits, load_model
from lwft_bench.planning.budget import WORKSPACE_BYTES
from lwft_bench.planning.draws import Draws
from lwft_bench.planning.fake_cell import CPU, make_adapter
from lwft_bench.planning.flops import FlopCount
from lwft_bench.planning.steps import BatchShape, CellSteps, batch_of
from lwft_bench.planning.suite_plan import SuitePlan
from lwft_bench.reporting import formatting as show
from lwft_bench.state.precision import PRECISIONS
from lwft_bench.training.accounting import MemoryAccount
from lwft_bench.training.assembly import assemble
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
        device = _device(cell.training.device)
        measured = measure(cell, row.plan.batch.shapes, drawn, device)
        planned = needed.peak_bytes if device.type == "cpu" else needed.rounded_peak_bytes
        difference = measured.allocated - planned
        allowed = 0.0 if device.type == "cpu" else TOLERANCE * planned + WORKSPACE_BYTES
        as_planned = abs(difference) <= allowed
        passed &= as_planned
        tell(
            f"{'as planned' if as_planned else 'NOT as planned'}: {cell.id} on {device}: planned "
            f"{planned:,} B, measured {measured.allocated:,} B ({difference:+,} B)"
            + (f"; reserved {show.memory(measured.reserved)}" if measured.reserved else "")
        )
    return passed


def measure(
    cell: Cell, shapes: Sequence[BatchShape], drawn: Draws, device: torch.device
) -> Measured:
    """The peak of the steps that a plan runs, on the device, with the model's own weights."""
    adapter = make_adapter(cell)
    dtype = PRECISIONS[cell.training.precision].weight
    loaded = load_model(cell.model, dtype=dtype, attention=cell.training.attention, seed=0)
    if not cell.training.dropout:
        remove_dropout(loaded)
    model = adapter.apply(loaded, seed=0)
    if device.type != "cpu":
        before = torch.get_device_module(device).memory_allocated(device)
        torch.nn.Module.to(model, device)  # transformers' own `to` is typed as if it took a model
        peaks = PhasePeaks(device)
        _steps(cell, model, adapter, shapes, device, peaks).follow(drawn)
        return Measured(max(peaks.peaks.values()) - before, peaks.reserved)
    account = MemoryAccount()
    account.adopt([*model.parameters(), *model.buffers()], "weights")
    with account:
        _steps(cell, model, adapter, shapes, device, account).follow(drawn)
    return Measured(account.report().peak_bytes, None)


def _steps(
    cell: Cell,
    model: torch.nn.Module,
    adapter: Adapter,
    shapes: Sequence[BatchShape],
    device: torch.device,
    account: Account,
) -> CellSteps[Account]:
    assembly = assemble(
        model,
        adapter,
        cell.method,
        cell.training,
        rounding_seed=0,
        device=device,
        account=account,
        own_logits=alters_logits(cell.model),
    )
    assembly.store.counts_survival = True
    assembly.store.switch([], [group.name for group in assembly.groups.always])
    num_targets = sum(shape.num_targets for shape in shapes)
    batches = [batch_of(shape, device) for shape in shapes]
    return CellSteps(assembly, batches, num_targets, FlopCount(), account)


def _device(name: str) -> torch.device:
    if name != "auto":
        return torch.device(name)
    return torch.accelerator.current_accelerator(check_available=True) or CPU
