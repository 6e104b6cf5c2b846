"""A cell put together on fake tensors, ready for the trainer's own step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from lwft_bench.config.models import Cell
from lwft_bench.models.adapters import Adapter
from lwft_bench.models.dropout import remove_dropout
from lwft_bench.models.loading import empty_model
from lwft_bench.planning.engine import PlanningEngine
from lwft_bench.planning.fake import fake_model
from lwft_bench.planning.flops import FlopCount
from lwft_bench.planning.steps import BatchShape, CellSteps, batch_of
from lwft_bench.registry import adapters, optimizers
from lwft_bench.state.engine import Engine
from lwft_bench.state.precision import PRECISIONS
from lwft_bench.training.accounting import MemoryAccount
from lwft_bench.training.assembly import assemble

__all__ = ["BatchShape", "fake_cell", "make_adapter", "meta_model"]

CPU = torch.device("cpu")


def make_adapter(cell: Cell) -> Adapter:
    """The method's adapter with its options."""
    adapter_class = adapters.get(cell.method.adapter.name)
    return adapter_class(adapter_class.Options(**cell.method.adapter.options))


def meta_model(cell: Cell) -> tuple[Adapter, nn.Module]:
    """The method's adapter, and the model with it, on the meta device."""
    adapter = make_adapter(cell)
    dtype = PRECISIONS[cell.training.precision].weight
    model = empty_model(cell.model, dtype, cell.training.attention)
    if not cell.training.dropout:
        remove_dropout(model)
    with torch.device("meta"):
        return adapter, adapter.apply(model, seed=0)


@contextmanager
def fake_cell(
    cell: Cell,
    shapes: Sequence[BatchShape],
    *,
    own_logits: bool = False,
    idle: Sequence[BatchShape] = (),
    counter: FlopCount | None = None,
    engine: Engine | None = None,
) -> Iterator[CellSteps[MemoryAccount]]:
    """Inside, tensors are fake, and their memory and arithmetic are counted."""
    adapter, model = meta_model(cell)
    mode = FakeTensorMode()
    fake_model(model, mode)
    counter, account = counter or FlopCount(), MemoryAccount()
    with mode, counter, account:
        account.adopt([*model.parameters(), *model.buffers()], "weights")
        if engine is None and optimizers.get(cell.method.optimizer.name).kind == "elementwise":
            engine = PlanningEngine(CPU, account)
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
        batches = [batch_of(shape, CPU) for shape in shapes]
        left_out = [batch_of(shape, CPU) for shape in idle]
        num_targets = sum(shape.num_targets for shape in shapes)
        yield CellSteps(assembly, batches, num_targets, counter, account, left_out)
