"""Puts the step together for a model, real or fake: the trainer and the dry run share this."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Generic, Literal, TypeVar

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from lwft_bench.adapters.base import Adapter
from lwft_bench.memory.meters import Account
from lwft_bench.models.parts import find_parts
from lwft_bench.optimizers.base import Optimizer
from lwft_bench.plugins.registry import optimizers
from lwft_bench.schema.cell import TrainingConfig
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.method import MethodConfig
from lwft_bench.state.accelerator import AcceleratorEngine
from lwft_bench.state.bucket_updates import UnselectedRule
from lwft_bench.state.engine import Engine, SynchronousEngine
from lwft_bench.state.precision import precision_of
from lwft_bench.state.store import StateStore
from lwft_bench.training.groups import Groups, UnitGroup, make_groups
from lwft_bench.training.kernels import use_kernels
from lwft_bench.training.loss import CausalLoss, router_loss_weight
from lwft_bench.training.packed_attention import attend_by_sequence, require_no_balance
from lwft_bench.training.ranks import ALONE, Ranks
from lwft_bench.training.readings import Readings
from lwft_bench.training.step import TrainingStep
from lwft_bench.training.traits import NOTHING_SPECIAL, Traits

AnyAccount = TypeVar("AnyAccount", bound=Account, covariant=True)


@dataclass(frozen=True, slots=True)
class Surroundings(Generic[AnyAccount]):
    """Where steps run, with whom, and who listens.

    account: is told of memory. engine: moves offloaded optimizer state; None: the device's own.
    fake: whether tensors have no values.
    """

    device: torch.device
    account: AnyAccount
    ranks: Ranks = ALONE
    engine: Engine | None = None
    fake: bool = False

    def own_engine(self) -> Engine:
        """The engine that was given, or the device's."""
        on_cpu = self.device.type == "cpu"
        return self.engine or (SynchronousEngine if on_cpu else AcceleratorEngine)(self.device)


@dataclass(frozen=True, slots=True)
class Assembly:
    """A model with what trains it, and how and where it is trained."""

    model: nn.Module
    adapter: Adapter
    method: MethodConfig
    groups: Groups
    store: StateStore
    readings: Readings
    loss: CausalLoss
    step: TrainingStep
    config: TrainingConfig
    surroundings: Surroundings[Account]

    @property
    def ranks(self) -> Ranks:
        """The processes that train the model together."""
        return self.surroundings.ranks

    @property
    def shards(self) -> Ranks:
        """Those of them that share out each tensor: what is found on their rows has to be summed."""
        return sharing(self.config, self.ranks)


def sharing(config: TrainingConfig, ranks: Ranks) -> Ranks:
    """The ranks that share out each tensor of a model: all or, where each has the whole, one."""
    return ranks if config.sharded else ALONE


def assemble(
    model: nn.Module,
    adapter: Adapter,
    method: MethodConfig,
    config: TrainingConfig,
    surroundings: Surroundings[AnyAccount],
    *,
    rounding_seed: int,
    traits: Traits = NOTHING_SPECIAL,
) -> Assembly:
    """Makes an adapted model ready for steps: all parameters frozen, in training mode.

    traits: what is known of the model; parameters that no gradient reaches are left frozen.
    """
    device, account, ranks = surroundings.device, surroundings.account, surroundings.ranks
    parts = find_parts(model)
    groups = make_groups(model, parts, method, adapter, traits.without_gradient)
    model.requires_grad_(False)
    if config.batching == "packed":
        attend_by_sequence(model)
        require_no_balance(router_loss_weight(model, config.router_loss))
    if not surroundings.fake:
        use_kernels(model, parts.layers, config)
    if config.checkpointing:
        for layer in parts.layers:
            layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
    model.train()
    optimizer: Optimizer = optimizers.build(method.optimizer)
    store = StateStore(
        optimizer,
        precision_of(config.precision, config.state_dtype),
        surroundings.own_engine(),
        device=device,
        on_device=method.state_on_device,
        bucket_bytes=config.bucket_bytes,
        rounding_seed=rounding_seed,
        account=account,
        unselected=_rule_of_unselected(method),
        counts_tensors=method.step_counter == "tensor",
    )
    numbers = {id(p): number for number, (_, p) in enumerate(model.named_parameters())}
    for group in groups.all:
        parameters = list(group.parameters.values())
        policy = method.always_train_state_policy if group.unit is None else method.state_policy
        # When state restarts, the trainer says; the store knows whether it goes at all.
        kept_or_reset: Literal["keep", "reset"] = "keep" if policy == "keep" else "reset"
        store.add(
            group.name,
            parameters,
            [numbers[id(p)] for p in parameters],
            kept_or_reset,
            rows=group.row_slices,
            in_layer=isinstance(group, UnitGroup) and 0 <= group.depth < len(parts.layers),
        )
    _require_own_rule(optimizer, store)
    shards = sharing(config, ranks)
    readings = Readings(
        device, len(groups.units), fake=surroundings.fake, ranks=ranks, shards=shards
    )
    loss = CausalLoss(model, account, own_logits=traits.own_logits, router_loss=config.router_loss)
    step = TrainingStep(loss, store, readings, account, config, ranks)
    return Assembly(
        model, adapter, method, groups, store, readings, loss, step, config, surroundings
    )


def _rule_of_unselected(method: MethodConfig) -> UnselectedRule | None:
    if method.unselected is None:
        return None
    return UnselectedRule(optimizers.build(method.unselected.optimizer), method.unselected.lr_scale)


def _require_own_rule(optimizer: Optimizer, store: StateStore) -> None:
    """An optimizer whose rule no parameter is large enough for would be AdamW under another name."""
    kinds = {rule.kind for group in store.groups.values() for rule in group.rules}
    if optimizer.kind not in kinds:
        raise UserError(
            f"optimizer {optimizer.name!r}: no parameter that this method trains is large enough for "
            "its rule: it would be plain AdamW",
            "lower the optimizer's limits (rank, min_8bit_size), or use a larger model",
        )
