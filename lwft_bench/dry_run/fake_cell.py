"""A cell put together on fake tensors, ready for the trainer's own step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from lwft_bench.dry_run.engine import PlanningEngine
from lwft_bench.dry_run.shares import PretendedShares
from lwft_bench.dry_run.steps import BatchShape, CellSteps, cell_steps, longest
from lwft_bench.dry_run.traits import fake_mode, traits_of
from lwft_bench.memory.accounting import MemoryAccount
from lwft_bench.memory.fake import fake_model
from lwft_bench.memory.flops import FlopCount
from lwft_bench.plugins.registry import optimizers
from lwft_bench.schema.cell import Cell
from lwft_bench.state.engine import Engine
from lwft_bench.training.adapted import empty_adapted_model
from lwft_bench.training.assembly import Surroundings
from lwft_bench.training.traits import Traits

CPU = torch.device("cpu")


@contextmanager
def fake_cell(
    cell: Cell,
    shapes: Sequence[BatchShape],
    *,
    traits: Traits | None = None,
    idle: Sequence[BatchShape] = (),
    counter: FlopCount | None = None,
    engine: Engine | None = None,
) -> Iterator[CellSteps[MemoryAccount]]:
    """Inside, tensors are fake, and their memory and arithmetic are counted. Of a cell whose processes
    share out the model they are those of one.

    traits: None: found on rows as long as the longest.
    """
    traits = traits or traits_of(cell, longest(shapes))
    adapter, model = empty_adapted_model(cell)
    mode = fake_mode(traits.even_choices)
    fake_model(model, mode)
    counter = counter or FlopCount()
    account = MemoryAccount(counter, mode.call)
    with mode, account:
        processes = cell.training.sharded
        shares = PretendedShares(model, account, processes) if processes else None
        whole = [] if processes else list(model.parameters())
        account.adopt([*whole, *model.buffers()], "weights")
        if engine is None and optimizers.get(cell.method.optimizer.name).kind == "elementwise":
            engine = PlanningEngine(CPU, account)
        steps = cell_steps(
            cell,
            (adapter, model),
            shapes,
            Surroundings(CPU, account, engine=engine, fake=True),
            counter,
            traits=traits,
            idle=idle,
        )
        if shares is not None:
            shares.stand_before(steps.assembly.step)
        yield steps
