"""A cell's step on fake tensors: its device memory and arithmetic, without device or weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lwft_bench.dry_run.fake_cell import fake_cell
from lwft_bench.dry_run.steps import BatchShape, Before
from lwft_bench.memory.accounting import MemoryReport
from lwft_bench.memory.step_memory import StepRecorder
from lwft_bench.plugins.registry import optimizers
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.result import StepMemory
from lwft_bench.strategies.base import Needs
from lwft_bench.training.traits import Traits

CostClass = tuple[int, tuple[int, ...]]
"""Lowest unit and sizes of the units selected: selections alike in these cost alike (backward
passes stop at the lowest), up to where in the backward pass a gradient of a higher unit appears."""

PROBING: CostClass = (-1, ())
MEASURING: CostClass = (-2, ())
"""A forward pass alone, on the same batch."""
BEFORE: dict[Before, CostClass] = {"probing": PROBING, "measuring": MEASURING}


@dataclass(frozen=True, slots=True)
class DryRun:
    """memory: over everything that was run. flops: of one step: forward and backward passes, and the
    optimizer's own matrix products. updates: the latter alone, where there are any. uncounted: calls of
    operators whose operations flops lack. step: memory over the training step that needs most.
    """

    memory: MemoryReport
    flops: dict[CostClass, int]
    updates: dict[CostClass, int] = field(default_factory=dict)
    uncounted: dict[str, int] = field(default_factory=dict)
    step: StepMemory | None = None


def cost_class(
    units: Sequence[int], unit_sizes: Sequence[int], observed: Sequence[int] = ()
) -> CostClass:
    """The class of a selection. One of no unit stands above all units.

    observed: units that are measured beside them, whose gradients count like theirs.
    """
    both = (*units, *observed)
    return min(both, default=len(unit_sizes)), tuple(sorted(unit_sizes[unit] for unit in both))


def dry_run(
    cell: Cell,
    shapes: Sequence[BatchShape],
    selections: Sequence[tuple[int, ...]],
    needs: Needs,
    traits: Traits | None = None,
    *,
    observed: Sequence[tuple[int, ...]] = (),
) -> DryRun:
    """Runs the trainer's own step on fake tensors: a probing step, then one for each selection.

    Selections follow one another as in training, so that optimizer state builds up as it does
    there. Of those of one cost class only the last, which meets most state, runs a step. Of what the
    strategy has measured only the forward pass is run: statistics of weights need a few chunks or,
    for singular values, some copies of one matrix. What one kernel allocates and frees within itself
    is not seen.

    Args:
        observed: Of each selection, the units that are measured without being trained; none of any if
            left out.
    """
    with fake_cell(cell, shapes, traits=traits) as fake:
        flops = {BEFORE[what]: number for what, number in fake.before_training(needs).items()}
        sizes = [group.num_parameters for group in fake.assembly.groups.units]
        pairs = list(zip(selections, observed or [()] * len(selections), strict=True))
        last = {cost_class(chosen, sizes, seen): n for n, (chosen, seen) in enumerate(pairs)}
        recorder = StepRecorder(fake.account)
        for number, (chosen, seen) in enumerate(pairs):
            fake.select(chosen, needs, seen)
            kind = cost_class(chosen, sizes, seen)
            if last[kind] == number:
                with recorder.step():
                    flops[kind] = fake.run_step()
        memory, updates = fake.account.report(), {}
        if optimizers.get(cell.method.optimizer.name).kind != "elementwise":
            for kind, number in last.items():  # memory no longer counts
                fake.select(selections[number])
                with_update = fake.run_step()
                updates[kind] = with_update - fake.run_step(update=False)
        return DryRun(memory, flops, updates, dict(fake.counter.uncounted), recorder.recorded())
