"""Puts the step together for a model, real or fake: the trainer and the dry run share this."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from lwft_bench.config.models import MethodConfig, TrainingConfig
from lwft_bench.models.adapters import Adapter
from lwft_bench.models.parts import find_parts
from lwft_bench.registry import optimizers
from lwft_bench.state.precision import PRECISIONS
from lwft_bench.state.store import StateStore
from lwft_bench.training.groups import Groups, make_groups
from lwft_bench.training.loss import CausalLoss
from lwft_bench.training.meters import Account
from lwft_bench.training.readings import Readings
from lwft_bench.training.step import TrainingStep


@dataclass(frozen=True, slots=True)
class Assembly:
    """A model with what trains it."""

    model: nn.Module
    groups: Groups
    store: StateStore
    readings: Readings
    loss: CausalLoss
    step: TrainingStep


def assemble(
    model: nn.Module,
    adapter: Adapter,
    method: MethodConfig,
    config: TrainingConfig,
    *,
    rounding_seed: int,
    device: torch.device,
    account: Account,
    fake: bool = False,
    own_logits: bool = False,
) -> Assembly:
    """Makes an adapted model ready for steps: all parameters frozen, in training mode."""
    parts = find_parts(model)
    groups = make_groups(model, parts, method, adapter.trains)
    model.requires_grad_(False)
    if config.checkpointing:
        for layer in parts.layers:
            layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
    model.train()
    optimizer_class = optimizers.get(method.optimizer.name)
    store = StateStore(
        optimizer_class(optimizer_class.Options(**method.optimizer.options)),
        PRECISIONS[config.precision],
        device=device,
        on_device=method.state_on_device,
        bucket_bytes=config.bucket_bytes,
        rounding_seed=rounding_seed,
        account=account,
    )
    numbers = {id(p): number for number, (_, p) in enumerate(model.named_parameters())}
    for group in groups.all:
        parameters = list(group.parameters.values())
        policy = method.always_train_state_policy if group.unit is None else method.state_policy
        store.add(group.name, parameters, [numbers[id(p)] for p in parameters], policy)
    readings = Readings(device, len(groups.units), fake=fake)
    loss = CausalLoss(model, account, own_logits=own_logits)
    step = TrainingStep(loss, store, readings, account, config.clip, config.update)
    return Assembly(model, groups, store, readings, loss, step)
