"""One optimizer step: the same for every method, on real and on fake tensors.

Nothing here looks at a value on the device, so the step never waits for it and can be run dry.
Gradients are taken as they become complete, in hooks; what becomes of each is decided there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from lwft_bench.memory.meters import Account
from lwft_bench.models.sharded import own_rows
from lwft_bench.schema.cell import TrainingConfig
from lwft_bench.state.store import StateStore
from lwft_bench.training.gradient_sums import GradientSums
from lwft_bench.training.groups import Group
from lwft_bench.training.loss import CausalLoss, DeviceBatch
from lwft_bench.training.ranks import ALONE, Ranks
from lwft_bench.training.readings import Readings, sum_of_squares
from lwft_bench.training.update_order import UpdateOrder

CLIP_EPSILON = 1e-6
"""Added to the norm, as torch.nn.utils.clip_grad_norm_ does."""


class TrainingStep:
    """Activates groups, and runs steps over them."""

    def __init__(
        self,
        loss: CausalLoss,
        store: StateStore,
        readings: Readings,
        account: Account,
        config: TrainingConfig,
        ranks: Ranks = ALONE,
    ) -> None:
        self.on_gradient: Callable[[torch.Tensor], None] = self._on_gradient
        """Called when a micro-batch's gradient has been added to a parameter's; plans put something
        before it."""
        self._shards = ranks if config.sharded else ALONE
        self.loss = loss
        self._store = store
        self._readings = readings
        self._account = account
        self._clip = config.clip
        self._sharded = config.sharded is not None
        self._in_backward = config.update == "in_backward"
        self._active: list[Group] = []
        self._updated: set[str] = set()
        self._moved: set[str] = set()
        self._measured: set[str] = set()
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []
        self._last_micro_batch = False
        self._lr: float | None = None
        self._sums = GradientSums(ALONE if config.sharded else ranks)
        self._places: dict[nn.Parameter, list[tuple[Group, int]]] = {}
        """A parameter is in several groups where these are pieces of tensors."""
        self._pending: dict[nn.Parameter, int] = {}
        """Groups that still need the parameter's gradient."""
        self._done: set[tuple[str, int]] = set()
        self._missing: dict[str, int] = {}
        self._order = UpdateOrder(in_backward=self._in_backward)

    def activate(
        self,
        updated: Sequence[Group],
        measured: Sequence[Group] = (),
        moved: Sequence[Group] = (),
    ) -> None:
        """From now on the `updated` groups train, `moved` ones by the rule for unselected units; the
        gradients of `measured` ones are taken, and of those in neither of the others only that.

        All others have requires_grad off and no gradient, so that autograd stops below the lowest
        active layer.
        """
        for handle in self._hooks:
            handle.remove()
        for group in self._active:
            for parameter in group.parameters.values():
                parameter.requires_grad_(False)
                parameter.grad = None
        self._updated = {group.name for group in updated}
        self._moved = {group.name for group in moved}
        self._measured = self._updated | {group.name for group in measured}
        once = {group.name: group for group in (*moved, *measured)}
        self._active = [*updated, *(g for name, g in once.items() if name not in self._updated)]
        self._places = {}
        for group in self._active:
            for index, parameter in enumerate(group.parameters.values()):
                self._places.setdefault(parameter, []).append((group, index))
        self._sums.activate(sorted(self._places, key=self._number, reverse=True))
        self._hooks = []
        for parameter in self._places:
            parameter.requires_grad_(True)
            self._hooks.append(parameter.register_post_accumulate_grad_hook(self.on_gradient))

    def _number(self, parameter: nn.Parameter) -> int:
        """Its place in the model: backward passes come to it in about the opposite order."""
        group, index = self._places[parameter][0]
        return self._store.groups[group.name].numbers[index]

    def run(
        self,
        batches: Sequence[DeviceBatch],
        num_targets: int,
        lr: float | None,
        tell: Callable[[], None] = lambda: None,
    ) -> None:
        """Forward and backward over this rank's micro-batches of one optimizer step, then the update.

        num_targets: target tokens of the whole step over all ranks, which the loss is divided by.
        lr: None measures gradients and updates nothing (probing, pre-flight). tell: is called before
        each micro-batch.
        """
        probing = lr is None
        self._lr = lr
        self._sums.begin_step()
        self._missing = {group.name: len(group.parameters) for group in self._active}
        self._done = set()
        self._readings.begin_step()
        if not probing:
            updated = [group for group in self._active if group.name in self._updated]
            self._store.expect(self._order.expected(updated))
        for number, batch in enumerate(batches):
            tell()
            self._last_micro_batch = number == len(batches) - 1
            with self._account.phase("probe" if probing else "forward"):
                loss = self.loss(batch) / num_targets
            self._readings.add_loss(loss)
            with self._account.phase("probe" if probing else "backward"):
                loss.backward()
        with self._account.phase("probe" if probing else "update"):
            self._finish()
            self._store.catch_up()

    def _on_gradient(self, parameter: torch.Tensor) -> None:
        """A micro-batch's gradient has been added to the parameter's."""
        assert isinstance(parameter, nn.Parameter) and parameter.grad is not None
        self._account.relabel(own_rows(parameter.grad), "gradients")
        if self._last_micro_batch:
            for summed in self._sums.arrive(parameter):
                self._take(summed)

    def _take(self, parameter: nn.Parameter) -> None:
        """The parameter's gradient of the whole step is complete."""
        places = self._places[parameter]
        self._pending[parameter] = len(places)
        for group, index in places:
            self._take_piece(group, index, parameter)

    def _take_piece(self, group: Group, index: int, parameter: nn.Parameter) -> None:
        assert parameter.grad is not None
        if group.unit is not None and group.name in self._measured:
            gradient = group.here(index, parameter.grad)
            self._readings.add_squares(group.unit, sum_of_squares(gradient))
        self._missing[group.name] -= 1
        if self._lr is None or group.name not in self._updated:
            if self._lr is not None and group.name in self._moved:
                if self._sharded:  # in a queue of torch's: weights change after the pass
                    return
                self._store.move(group.name, index, self._lr)
            self._let_go(parameter)
        elif self._in_backward and self._clip.mode == "none":
            self._update(group, index, parameter)
        elif self._in_backward and self._missing[group.name] == 0:
            self._finish_group(group)

    def _let_go(self, parameter: nn.Parameter) -> None:
        """One of the parameter's groups is done with its gradient."""
        self._pending[parameter] -= 1
        if not self._pending[parameter]:
            parameter.grad = None

    def _finish(self) -> None:
        """Takes gradients whose hook did not fire in the last micro-batch; updates what is left."""
        self._last_micro_batch = True
        for parameter in self._sums.finish_step():
            self._take(parameter)
        if self._lr is None:
            return
        if self._clip.mode == "global":
            scale = self._scale_down([g for g in self._active if g.name in self._updated])
            if scale is not None:
                self._readings.add_clip_scale(scale)
        for group in self._active:
            if group.name in self._updated:
                self._finish_group(group)
            elif self._sharded and group.name in self._moved:
                self._move_rest(group, self._lr)

    def _finish_group(self, group: Group) -> None:
        if self._clip.mode == "unit":
            self._scale_down([group])
        for index, parameter in enumerate(group.parameters.values()):
            if parameter.grad is not None and (group.name, index) not in self._done:
                self._update(group, index, parameter)

    def _move_rest(self, group: Group, lr: float) -> None:
        for index, parameter in enumerate(group.parameters.values()):
            if parameter.grad is not None:
                self._store.move(group.name, index, lr)
                self._let_go(parameter)

    def _update(self, group: Group, index: int, parameter: nn.Parameter) -> None:
        assert self._lr is not None
        self._order.record(group, index)
        self._store.update(group.name, index, self._lr)
        self._done.add((group.name, index))
        self._let_go(parameter)

    def _scale_down(self, groups: Sequence[Group]) -> torch.Tensor | None:
        """Clips the gradients of the groups by their joint norm; returns what they were scaled by."""
        gradients = [
            group.here(index, parameter.grad)
            for group in groups
            for index, parameter in enumerate(group.parameters.values())
            if parameter.grad is not None
        ]
        if not gradients:
            return None
        squares = torch.stack([sum_of_squares(gradient) for gradient in gradients]).sum()
        self._shards.sum(squares)
        norm = squares.sqrt()
        scale = (self._clip.max_norm / (norm + CLIP_EPSILON)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(scale.to(gradient.dtype))
        return scale
