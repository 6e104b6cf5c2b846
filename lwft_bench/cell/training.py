"""A cell's second step: the loaded model is trained in place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from lwft_bench.cell.loading import Loaded
from lwft_bench.cell.model_checks import check_model
from lwft_bench.data.batching import DataOrder, batches, splitting_of
from lwft_bench.dry_run.steps import BatchShape, longest
from lwft_bench.dry_run.traits import traits_of
from lwft_bench.memory.load import LoadMeter
from lwft_bench.memory.meters import Account, NoAccount, PhasePeaks
from lwft_bench.models.sharded import settle
from lwft_bench.plugins.registry import strategies
from lwft_bench.schema.events import Emit, PhaseBegan, seldom
from lwft_bench.schema.load import Load
from lwft_bench.strategies.base import Strategy
from lwft_bench.training.assembly import Assembly, Surroundings, assemble
from lwft_bench.training.compiling import compile_ahead
from lwft_bench.training.kernels import require_kernels
from lwft_bench.training.loss import DeviceBatch
from lwft_bench.training.packed_attention import require_apart
from lwft_bench.training.ranks import ALONE, Ranks
from lwft_bench.training.streams import undisturbed
from lwft_bench.training.trace import Trace
from lwft_bench.training.trainer import Feed, Hooks, Trainer
from lwft_bench.training.traits import Traits

VALIDATION_BATCH = 32


@dataclass(frozen=True, slots=True)
class Trained:
    """What training leaves behind besides the model's weights."""

    assembly: Assembly
    strategy: Strategy
    order: DataOrder
    account: Account
    trace: Trace
    frozen_unchanged: bool
    """Whether parameters in no group kept their bits."""
    traits: Traits
    load: Load
    """What else the machine did meanwhile."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A loaded model ready for steps, and the batches that they are made on."""

    assembly: Assembly
    order: DataOrder
    account: Account
    traits: Traits


def train(
    loaded: Loaded, folder: Path, emit: Emit, should_stop: Callable[[], bool], ranks: Ranks
) -> Trained:
    """Trains the model, from the folder's checkpoint on if there is one.

    Raises:
        Interrupted: After a checkpoint was written, once should_stop() is true.
        Diverged: A loss is not finite.
        UserError: The model cannot be trained on text, or its steps cannot be accounted for.
    """
    prepared = prepare(loaded, ranks)
    assembly, order = prepared.assembly, prepared.order
    feed = Feed(order, _order(loaded, "measure", ranks), loaded.streams)
    strategy: Strategy = strategies.build(loaded.cell.method.strategy)
    hooks = Hooks(emit, should_stop, lambda: _validation_loss(assembly, loaded, emit))
    trainer = Trainer(assembly, strategy, feed, hooks, folder)
    meter = LoadMeter(loaded.device)
    trainer.run()
    return Trained(
        assembly,
        strategy,
        order,
        prepared.account,
        trainer.trace,
        trainer.frozen_unchanged,
        prepared.traits,
        meter.read(),
    )


def prepare(loaded: Loaded, ranks: Ranks = ALONE) -> Prepared:
    """Makes a loaded model ready for steps.

    Raises:
        UserError: The model cannot be trained on text, or its steps cannot be accounted for.
    """
    cell, device = loaded.cell, loaded.device
    account: Account = NoAccount() if device.type == "cpu" else PhasePeaks(device)
    order = _order(loaded, "data", ranks)
    require_kernels(cell.training, ranks)
    traits = traits_of(cell, longest([BatchShape.of(batch) for batch in order.longest_batch()]))
    check_model(loaded.model, traits, order, device)
    assembly = assemble(
        loaded.model,
        loaded.adapter,
        cell.method,
        cell.training,
        Surroundings(device, account, ranks),
        rounding_seed=loaded.streams.seed("rounding"),
        traits=traits,
    )
    if cell.training.batching == "packed":
        with undisturbed(device):
            every = (*loaded.train.token_ids, *loaded.validation.token_ids)
            require_apart(loaded.model, device, max(map(len, every)))
    if cell.training.compile and strategies.get(cell.method.strategy.name).varies is not False:
        compile_ahead(assembly, order.longest_batch())
    return Prepared(assembly, order, account, traits)


def _order(loaded: Loaded, stream: str, ranks: Ranks) -> DataOrder:
    config = loaded.cell.training
    return DataOrder(
        loaded.train,
        batch_size=config.batch_size,
        splitting=splitting_of(config),
        seed=loaded.streams.seed(stream),
        num_ranks=ranks.world,
    )


def _validation_loss(assembly: Assembly, loaded: Loaded, emit: Emit) -> float | None:
    """Mean loss over the target tokens of the validation examples, without dropout."""
    if not len(loaded.validation):
        return None
    emit(PhaseBegan("validate"))
    total, num_targets = 0.0, 0
    tell = seldom(emit)
    every = batches(loaded.validation, VALIDATION_BATCH, loaded.cell.training.batching)
    assembly.model.eval()
    with torch.no_grad():
        for number, batch in enumerate(every):
            tell(number, len(every))
            total += float(assembly.loss(DeviceBatch.of(batch, loaded.device)))
            num_targets += batch.num_target_tokens
    assembly.model.train()
    settle(assembly.model)
    return total / num_targets
