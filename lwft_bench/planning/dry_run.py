"""A cell's step on fake tensors: its device memory and arithmetic, without device or weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from lwft_bench.config.models import Cell
from lwft_bench.data.batching import Batch
from lwft_bench.models.adapters import Adapter
from lwft_bench.models.dropout import remove_dropout
from lwft_bench.models.loading import empty_model
from lwft_bench.planning.fake import fake_model
from lwft_bench.planning.flops import FlopCount
from lwft_bench.registry import adapters
from lwft_bench.state.precision import PRECISIONS
from lwft_bench.strategies.base import Needs
from lwft_bench.training.accounting import MemoryAccount, MemoryReport
from lwft_bench.training.assembly import Assembly, assemble
from lwft_bench.training.loss import DeviceBatch

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class BatchShape:
    """A micro-batch without its values: rows, padded length, target tokens."""

    rows: int
    length: int
    num_targets: int

    @classmethod
    def of(cls, batch: Batch) -> BatchShape:
        rows, length = batch.input_ids.shape
        return cls(rows, length, batch.num_target_tokens)


CostClass = tuple[int, tuple[int, ...]]
"""Lowest unit and sizes of the units selected: selections alike in these cost alike (backward
passes stop at the lowest), up to where in the backward pass a gradient of a higher unit appears."""

PROBING: CostClass = (-1, ())


@dataclass(frozen=True, slots=True)
class DryRun:
    """memory: over everything that was run. flops: of one step, forward and backward."""

    memory: MemoryReport
    flops: dict[CostClass, int]


def cost_class(units: Sequence[int], unit_sizes: Sequence[int]) -> CostClass:
    """The class of a selection."""
    return min(units), tuple(sorted(unit_sizes[unit] for unit in units))


def make_adapter(cell: Cell) -> Adapter:
    """The method's adapter with its options."""
    adapter_class = adapters.get(cell.method.adapter.name)
    return adapter_class(adapter_class.Options(**cell.method.adapter.options))


def dry_run(
    cell: Cell,
    shapes: Sequence[BatchShape],
    selections: Sequence[tuple[int, ...]],
    needs: Needs,
    *,
    own_logits: bool = False,
) -> DryRun:
    """Runs the trainer's own step on fake tensors: a probing step, then one for each selection.

    Selections follow one another as in training, so that optimizer state builds up as it does
    there. Of those of one cost class only the last, which meets most state, runs a step. What one
    kernel allocates and frees within itself is not seen.
    """
    adapter = make_adapter(cell)
    dtype = PRECISIONS[cell.training.precision].weight
    empty = empty_model(cell.model, dtype, cell.training.attention)
    if not cell.training.dropout:
        remove_dropout(empty)
    mode = FakeTensorMode()
    with torch.device("meta"):
        adapted = adapter.apply(empty, seed=0)
    model = fake_model(adapted, mode)
    counter, account = FlopCount(), MemoryAccount()
    flops: dict[CostClass, int] = {}
    with mode, counter, account:
        account.adopt([*model.parameters(), *model.buffers()], "weights")
        assembly = assemble(
            model,
            adapter,
            cell.method,
            cell.training,
            rounding_seed=0,
            device=CPU,
            account=account,
            fake=True,
            own_logits=own_logits,
        )
        assembly.store.counts_survival = True  # the dearest steps are those that count it
        batches = [_fake_batch(shape) for shape in shapes]
        num_targets = sum(shape.num_targets for shape in shapes)
        groups = assembly.groups
        assembly.store.switch([], [group.name for group in groups.always])
        if needs.probing_steps:
            assembly.step.activate([], measured=groups.units)
            flops[PROBING] = _flops(counter, assembly, batches, num_targets, lr=None)
        sizes = [group.num_parameters for group in groups.units]
        last = {cost_class(units, sizes): number for number, units in enumerate(selections)}
        before: tuple[int, ...] = ()
        for number, units in enumerate(selections):
            with account.phase("switch"):
                leaving = [groups.units[unit].name for unit in set(before) - set(units)]
                assembly.store.switch(leaving, [groups.units[unit].name for unit in units])
                assembly.step.activate(
                    [*(groups.units[unit] for unit in units), *groups.always],
                    measured=groups.units if needs.gradients == "all" else (),
                )
            before = units
            kind = cost_class(units, sizes)
            if last[kind] == number:
                flops[kind] = _flops(counter, assembly, batches, num_targets, lr=1.0)
    return DryRun(account.report(), flops)


def _flops(
    counter: FlopCount,
    assembly: Assembly,
    batches: Sequence[DeviceBatch],
    num_targets: int,
    lr: float | None,
) -> int:
    before = counter.total
    assembly.step.run(batches, num_targets, lr)
    return counter.total - before


def _fake_batch(shape: BatchShape) -> DeviceBatch:
    return DeviceBatch(
        input_ids=torch.zeros(shape.rows, shape.length, dtype=torch.int64),
        positions=torch.zeros(shape.num_targets, dtype=torch.int64),
        targets=torch.zeros(shape.num_targets, dtype=torch.int64),
    )
