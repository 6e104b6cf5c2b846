"""What offloading the optimizer state costs in time, modelled for an accelerator that is not here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.offload.modelled import DeviceModel, ModelledEngine, least_exposed
from lwft_bench.dry_run.fake_cell import CPU, fake_cell
from lwft_bench.dry_run.steps import BatchShape
from lwft_bench.memory.accounting import MemoryReport
from lwft_bench.memory.flops import FlopCount
from lwft_bench.schema.cell import Cell
from lwft_bench.state.engine import Queue
from lwft_bench.state.staging import NUM_SLOTS

WARM_UP_STEPS = 2
"""In the first, state is touched for the first time and the order of updates becomes known."""


@dataclass(frozen=True, slots=True)
class StepTime:
    """Of a step in the steady state, in seconds.

    step: all of it. exposed: by how much longer it is than with nothing to be moved. least_exposed:
    what no schedule can do without (see `least_exposed`). transferred_bytes: in; as many go out.
    """

    step: float
    exposed: float
    least_exposed: float
    transferred_bytes: int
    memory: MemoryReport


def step_time(
    cell: Cell, shapes: Sequence[BatchShape], units: Sequence[int], model: DeviceModel
) -> StepTime:
    """Runs the trainer's own steps on fake tensors and clocks with these units selected."""
    counter = FlopCount()
    engine = ModelledEngine(CPU, model, lambda: counter.total)
    with fake_cell(cell, shapes, counter=counter, engine=engine) as fake:
        fake.select(units)
        fake.assembly.store.counts_survival = False
        for _ in range(WARM_UP_STEPS):
            fake.run_step()
        before = engine.clocks[Queue.COMPUTE]
        engine.updates.clear()
        flops = fake.run_step()
        step = engine.clocks[Queue.COMPUTE] - before
        arithmetic = flops / model.flops_per_second + sum(u.seconds for u in engine.updates)
        moved = sum(update.state_bytes for update in engine.updates)
        staging = NUM_SLOTS * cell.training.bucket_bytes
        least = least_exposed(engine.updates, staging, model.bandwidth)
        return StepTime(step, step - arithmetic, least, moved, fake.account.report())
