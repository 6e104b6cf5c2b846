"""What a plan has the trainer do with a cell: its step for chosen selections, on empty batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal

import torch
from torch import nn

from lwft_bench.adapters.base import Adapter
from lwft_bench.data.batching import Batch
from lwft_bench.data.micro_batches import Packing
from lwft_bench.dry_run.planned_selections import PlannedSelections
from lwft_bench.memory.flops import FlopCount
from lwft_bench.models.sharded import settle
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.extents import Extent
from lwft_bench.strategies.base import Needs
from lwft_bench.training.active_groups import active_groups
from lwft_bench.training.assembly import AnyAccount, Assembly, Surroundings, assemble
from lwft_bench.training.loss import DeviceBatch
from lwft_bench.training.traits import Traits

_NOTHING = Needs()
Before = Literal["probing", "measuring"]

LR = 1e-6
"""Of no consequence for memory; above zero, so that updates are made."""


@dataclass(frozen=True, slots=True)
class BatchShape:
    """A micro-batch without its values: rows, padded length, target tokens.

    lengths: of the sequences of a packed row, whose sum is its length; none in a row that is not.
    """

    rows: int
    length: int
    num_targets: int
    lengths: tuple[int, ...] = ()

    @classmethod
    def packed(cls, lengths: Sequence[int], num_targets: int) -> BatchShape:
        """Sequences of these lengths in one row."""
        return cls(1, sum(lengths), num_targets, tuple(lengths))

    @classmethod
    def of(cls, batch: Batch) -> BatchShape:
        if batch.packing is not None:
            return cls.packed(batch.lengths, batch.num_target_tokens)
        rows, length = batch.input_ids.shape
        return cls(rows, length, batch.num_target_tokens)

    @property
    def extent(self) -> Extent:
        """What its arithmetic grows with."""
        return Extent.of_lengths(self.lengths or [self.length] * self.rows, self.num_targets)


def longest(shapes: Sequence[BatchShape]) -> int:
    """Tokens of the longest rows, padding included."""
    return max(max(shape.lengths, default=shape.length) for shape in shapes)


@dataclass(frozen=True, slots=True)
class StepCost:
    """flops: of forward and backward passes. moved_bytes: of state, in and out together."""

    flops: int
    moved_bytes: int


@dataclass(slots=True)
class CellSteps(Generic[AnyAccount]):
    """What a plan has the trainer do, on fake tensors or on real ones.

    counter and account see all that is done. idle: micro-batches that are on the device and that
    steps leave out.
    """

    assembly: Assembly
    batches: list[DeviceBatch]
    num_targets: int
    counter: FlopCount
    account: AnyAccount
    idle: list[DeviceBatch] = field(default_factory=list)
    _selected: frozenset[int] = frozenset()

    def before_training(self, needs: Needs) -> dict[Before, int]:
        """A probing step and the forward passes of measurements, if the strategy needs them.

        Returns:
            The floating-point operations of each that was run.
        """
        flops: dict[Before, int] = {}
        if needs.probing_steps:
            self.assembly.step.activate([], measured=self.assembly.groups.units)
            flops["probing"] = self.run_step(update=False)
        if needs.measure:
            flops["measuring"] = self.run_forward()
        return flops

    def select(
        self, units: Sequence[int], needs: Needs = _NOTHING, observed: Sequence[int] = ()
    ) -> None:
        """The units train from now on, and what the strategy needs of the others is measured.

        Args:
            observed: Units whose gradients are measured without being trained; all if so needed.
        """
        groups, store = self.assembly.groups, self.assembly.store
        with self.account.phase("switch"):
            leaving = [groups.units[unit].name for unit in self._selected - set(units)]
            active = active_groups(groups, self.assembly.method, units, needs, observed)
            store.leave(leaving, LR)
            store.switch(leaving, [group.name for group in active.updated])
            self.assembly.step.activate(*active)
        self._selected = frozenset(units)

    def run_step(self, *, update: bool = True) -> int:
        """One step, or one of probing; returns its floating-point operations."""
        before = self.counter.total
        self.assembly.step.run(self.batches, self.num_targets, lr=LR if update else None)
        return self.counter.total - before

    def run_forward(self) -> int:
        """The forward passes in evaluation mode that statistics of units are taken from."""
        before = self.counter.total
        model = self.assembly.model.eval()
        with torch.no_grad(), self.account.phase("measure"):
            for batch in self.batches:
                self.assembly.loss(batch)
        model.train()
        settle(model)
        return self.counter.total - before

    def follow(self, drawn: PlannedSelections) -> dict[tuple[int, ...], StepCost]:
        """A step of each selection, with the state of all visited units there.

        A probing step and the forward passes of measurements come first, as in training. Each
        selection is a phase named by its number, in which that of the switch and the step lie.
        """
        groups = self.assembly.groups
        self.before_training(drawn.needs)
        if self.assembly.method.state_policy == "keep":
            with self.account.phase("switch"):
                names = [groups.units[unit].name for unit in drawn.visited]
                self.assembly.store.switch([], names)
        costs = {}
        for number, units in enumerate(drawn.selections):
            with self.account.phase(str(number)):
                self.select(units, drawn.needs, drawn.observed)
                flops = self.run_step()
            updated = [*(groups.units[unit] for unit in units), *groups.always]
            streamed = sum(self.assembly.store.host_bytes_of(group.name) for group in updated)
            costs[units] = StepCost(flops, 2 * streamed)
        return costs


def cell_steps(
    cell: Cell,
    adapted: tuple[Adapter, nn.Module],
    shapes: Sequence[BatchShape],
    surroundings: Surroundings[AnyAccount],
    counter: FlopCount,
    *,
    traits: Traits,
    idle: Sequence[BatchShape] = (),
) -> CellSteps[AnyAccount]:
    """Puts an adapted model together with what trains it, as it stands before the first selection."""
    adapter, model = adapted
    assembly = assemble(
        model,
        adapter,
        cell.method,
        cell.training,
        surroundings,
        rounding_seed=0,
        traits=traits,
    )
    device = surroundings.device
    assembly.store.counts_survival = True  # the dearest steps are those that count it
    assembly.store.switch([], [group.name for group in assembly.groups.always])
    batches = [batch_of(shape, device) for shape in shapes]
    left_out = [batch_of(shape, device) for shape in idle]
    num_targets = sum(shape.num_targets for shape in shapes)
    return CellSteps(assembly, batches, num_targets, counter, surroundings.account, left_out)


def batch_of(shape: BatchShape, device: torch.device) -> DeviceBatch:
    """A batch whose every value is zero."""
    return DeviceBatch(
        input_ids=torch.zeros(shape.rows, shape.length, dtype=torch.int64, device=device),
        positions=torch.zeros(shape.num_targets, dtype=torch.int64, device=device),
        targets=torch.zeros(shape.num_targets, dtype=torch.int64, device=device),
        packing=Packing.of(shape.lengths, device) if shape.lengths else None,
    )
