"""A cell put together on fake tensors, ready for the trainer's own step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
from lwft_bench.state.engine import Engine
from lwft_bench.state.precision import PRECISIONS
from lwft_bench.training.accounting import MemoryAccount
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


@dataclass(slots=True)
class FakeCell:
    """assembly and batches are fake; counter and account see all that is done with them."""

    assembly: Assembly
    batches: list[DeviceBatch]
    num_targets: int
    counter: FlopCount
    account: MemoryAccount
    _selected: frozenset[int] = frozenset()

    def select(self, units: Sequence[int], *, measure_all: bool = False) -> None:
        """The units train from now on. measure_all: every unit's gradient is measured too."""
        groups, store = self.assembly.groups, self.assembly.store
        with self.account.phase("switch"):
            leaving = [groups.units[unit].name for unit in self._selected - set(units)]
            updated = [*(groups.units[unit] for unit in units), *groups.always]
            store.switch(leaving, [group.name for group in updated])
            self.assembly.step.activate(updated, measured=groups.units if measure_all else ())
        self._selected = frozenset(units)

    def run_step(self, *, update: bool = True) -> int:
        """One step, or one of probing; returns its floating-point operations."""
        before = self.counter.total
        self.assembly.step.run(self.batches, self.num_targets, lr=1.0 if update else None)
        return self.counter.total - before

    def run_forward(self) -> int:
        """The forward passes in evaluation mode that statistics of units are taken from."""
        before = self.counter.total
        model = self.assembly.model.eval()
        with torch.no_grad(), self.account.phase("measure"):
            for batch in self.batches:
                self.assembly.loss(batch)
        model.train()
        return self.counter.total - before


def make_adapter(cell: Cell) -> Adapter:
    """The method's adapter with its options."""
    adapter_class = adapters.get(cell.method.adapter.name)
    return adapter_class(adapter_class.Options(**cell.method.adapter.options))


@contextmanager
def fake_cell(
    cell: Cell,
    shapes: Sequence[BatchShape],
    *,
    own_logits: bool = False,
    counter: FlopCount | None = None,
    engine: Engine | None = None,
) -> Iterator[FakeCell]:
    """Inside, tensors are fake, and their memory and arithmetic are counted."""
    adapter = make_adapter(cell)
    dtype = PRECISIONS[cell.training.precision].weight
    empty = empty_model(cell.model, dtype, cell.training.attention)
    if not cell.training.dropout:
        remove_dropout(empty)
    mode = FakeTensorMode()
    with torch.device("meta"):
        adapted = adapter.apply(empty, seed=0)
    model = fake_model(adapted, mode)
    counter, account = counter or FlopCount(), MemoryAccount()
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
            engine=engine,
        )
        assembly.store.counts_survival = True  # the dearest steps are those that count it
        assembly.store.switch([], [group.name for group in assembly.groups.always])
        batches = [_fake_batch(shape) for shape in shapes]
        num_targets = sum(shape.num_targets for shape in shapes)
        yield FakeCell(assembly, batches, num_targets, counter, account)


def _fake_batch(shape: BatchShape) -> DeviceBatch:
    return DeviceBatch(
        input_ids=torch.zeros(shape.rows, shape.length, dtype=torch.int64),
        positions=torch.zeros(shape.num_targets, dtype=torch.int64),
        targets=torch.zeros(shape.num_targets, dtype=torch.int64),
    )
