"""Optimizer state of every group of parameters: where it lives, and the update that uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Literal

import torch

from lwft_bench.memory.accounting import HOST
from lwft_bench.memory.meters import Account
from lwft_bench.models.sharded import first_element, own_rows
from lwft_bench.optimizers.base import Optimizer
from lwft_bench.optimizers.random_bits import mix
from lwft_bench.state.bucket_updates import BucketUpdates, UnselectedRule
from lwft_bench.state.engine import Engine, Queue, Wait
from lwft_bench.state.group_state import GroupState, GroupStates, Moment
from lwft_bench.state.layout import Bucket, cut
from lwft_bench.state.precision import Precision
from lwft_bench.state.staging import Home, Staging

SURVIVAL = "survival"

Wanted = tuple[str, int]
"""A group's name and the index of one of its parameters."""


class StateStore(GroupStates):
    """Keeps, resets, streams and saves state; knows groups by name and no strategy.

    on_device: "all"; "none"; or the bytes of state that may stay on the device, given to groups as
    they are first trained. What does not stay lives on the host and passes through device buckets
    of `bucket_bytes`. unselected: the rule, without state, of groups that are not selected.
    counts_tensors: whether a rule is told how often all rows of a tensor were updated, and not how often
    the group's own were.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        precision: Precision,
        engine: Engine,
        *,
        device: torch.device,
        on_device: Literal["all", "none"] | int,
        bucket_bytes: int,
        rounding_seed: int,
        account: Account,
        unselected: UnselectedRule | None = None,
        counts_tensors: bool = False,
    ) -> None:
        self._optimizer = optimizer
        self._unselected = unselected
        self._counts_tensors = counts_tensors
        self._sharing: dict[int, list[tuple[str, int]]] = {}
        """Number of a parameter -> the groups that have rows of it, each with the parameter's index."""
        self._precision = precision
        self._engine = engine
        self._device = device
        self._account = account
        self._rounding_seed = rounding_seed
        self._bucket_bytes = bucket_bytes
        self._budget = on_device if isinstance(on_device, int) else 0
        self._unlimited = on_device == "all"
        self._staging = Staging(engine, account, self._bucket_sizes)
        super().__init__(torch.zeros(4, dtype=torch.int64, device=device))
        self._kernels = BucketUpdates(precision, self._survival)
        self.counts_survival = False
        """Whether updates count how many elements' updates survive rounding."""

    def add(
        self,
        name: str,
        parameters: Sequence[torch.nn.Parameter],
        numbers: Sequence[int],
        policy: Literal["keep", "reset"],
        *,
        in_layer: bool = True,
        rows: Sequence[slice | None] = (),
    ) -> None:
        """Makes a group known. It costs nothing until it is trained.

        in_layer: whether its parameters belong to a decoder layer. rows: of each parameter, those that
        are the group's; by default, and where None, all.
        """
        rows = rows or [None] * len(parameters)
        rules = tuple(
            self._optimizer.for_parameter(
                tuple(parameter.shape), in_layer=in_layer, seed=mix(self._rounding_seed, 0, number)
            )
            for parameter, number in zip(parameters, numbers, strict=True)
        )
        buckets = tuple(
            cut(
                own_rows(parameter if part is None else parameter.detach()[part]).shape,
                rule,
                self._precision.of(parameter),
                self._bucket_bytes,
                first_element(parameter),
            )
            for parameter, part, rule in zip(parameters, rows, rules, strict=True)
        )
        for index, number in enumerate(numbers):
            self._sharing.setdefault(number, []).append((name, index))
        self.groups[name] = GroupState.of(parameters, rows, numbers, policy, rules, buckets)

    def switch(self, leaving: Sequence[str], starting: Sequence[str]) -> None:
        """At a new selection: `leaving` groups lose their state if their policy says so, and
        `starting` ones get theirs.
        """
        for name in leaving:
            self.drop(name)
        for name in starting:
            if self.groups[name].homes is None:
                self._create(self.groups[name])

    def drop(self, name: str) -> None:
        """Ends the state of a group with policy `reset`; its next update begins from step 1."""
        group = self.groups[name]
        if group.policy == "reset":
            self._staging.release(group.homes_where(resident=False))
            group.homes = None
            group.steps = [0] * len(group.parameters)

    def leave(self, leaving: Sequence[str], lr: float) -> None:
        """Before `switch`: the last update of groups that lose their state, if the rule has one.

        lr: that of the update before it.
        """
        if self._optimizer.leaves:
            for name in leaving:
                if self.groups[name].policy == "reset":
                    self._leave(self.groups[name], lr)
            self._engine.catch_up()

    def _leave(self, group: GroupState, lr: float) -> None:
        for index, rule in enumerate(group.rules):
            step = group.steps[index]
            if not (rule.leaves and step and group.homes):
                continue
            weight = group.here(index, group.parameters[index])
            key = mix(self._rounding_seed, step + 1, group.key(index))
            for bucket, home in zip(group.buckets[index], group.homes[index], strict=True):
                part = weight.view(-1)[bucket.start : bucket.stop]
                work = partial(self._kernels.leave, rule, bucket, part, Moment(step, lr, key, step))
                if home.resident:
                    self._engine.compute(partial(work, home.memory), [home.memory], [home.memory])
                else:
                    self._staging.update(home, work)

    def expect(self, wanted: Iterable[Wanted]) -> None:
        """Updates that will probably come, in order: offloaded state begins to come in."""
        expected: list[Home] = []
        for name, index in wanted:
            homes = self.groups[name].homes
            assert homes is not None, f"state of {name} was never created"
            expected.extend(home for home in homes[index] if not home.resident)
        self._staging.expect(expected)

    def update(self, name: str, index: int, lr: float) -> None:
        """One optimizer step of the group's parameter `index`, from its `.grad`.

        On an accelerator it is queued: `.grad` can be let go of at once, as with any kernel.
        """
        group = self.groups[name]
        assert group.homes is not None, f"state of {name} was never created"
        parameter = group.parameters[index]
        assert parameter.grad is not None
        weight, gradient = (group.here(index, t) for t in (parameter, parameter.grad))
        rule = group.rules[index]
        if rule.kind != "opaque":
            weight, gradient = weight.view(-1), gradient.reshape(-1)
        group.steps[index] += 1
        group.trained.add(index)
        step = group.steps[index]
        counted = self._updates_of(group.numbers[index]) if self._counts_tensors else step
        key = mix(self._rounding_seed, step, group.key(index))
        for bucket, home in zip(group.buckets[index], group.homes[index], strict=True):
            part = ... if rule.kind == "opaque" else slice(bucket.start, bucket.stop)
            work = partial(
                self._kernels.update,
                rule,
                bucket,
                weight[part],
                gradient[part],
                Moment(step, lr, key, counted),
                self.counts_survival and self._optimizer.kind == "elementwise",
            )
            if not bucket.num_bytes:  # nothing that a queue would have to bring or keep
                with torch.no_grad():
                    work(home.memory)
            elif home.resident:
                self._engine.compute(partial(work, home.memory), [home.memory], [home.memory])
            else:
                self._staging.update(home, work)

    def _updates_of(self, number: int) -> int:
        """Of all rows of a tensor together."""
        return sum(self.groups[name].steps[index] for name, index in self._sharing[number])

    def move(self, name: str, index: int, lr: float) -> None:
        """Moves a parameter of a group that is not selected, from its `.grad`, at once. lr: of the step.

        No queue has anything to do with it: there is no state.
        """
        assert self._unselected is not None
        group = self.groups[name]
        parameter = group.parameters[index]
        assert parameter.grad is not None
        group.moves += 1
        group.trained.add(index)
        key = mix(self._rounding_seed + 1, group.moves, group.key(index))
        weight, gradient = (group.here(index, t) for t in (parameter, parameter.grad))
        rule, scale = self._unselected
        parts = weight.view(-1), gradient.reshape(-1)
        self._kernels.move(rule, *parts, lr * scale, key, first_element(parameter))

    def catch_up(self) -> None:
        """Weights are about to be used: see `Engine.catch_up`."""
        self._engine.catch_up()

    def saved_tensors(self) -> dict[str, torch.Tensor]:
        """All state and the survival counts, for a checkpoint."""
        return self.state_tensors(self.groups) | {SURVIVAL: self._survival}

    def state_tensors(self, names: Iterable[str]) -> dict[str, torch.Tensor]:
        """The groups' state under `<group>/<parameter>.<bucket>.<field>`: views of it, where it is."""
        tensors = {}
        for name in names:
            for place, bucket, home in self.groups[name].filled():
                if not home.resident:
                    self._engine.wait(Queue.HOST, home.written, Wait.SAVED)
                    self._engine.host_access([home.memory], [])
                for state, view in bucket.views(home.memory).items():
                    tensors[f"{name}/{place}.{state}"] = view
        return tensors

    def load(
        self,
        tensors: dict[str, torch.Tensor],
        steps: dict[str, list[int]],
        trained: dict[str, list[int]],
        moves: dict[str, int] | None = None,
    ) -> None:
        """Restores what `saved_tensors`, `steps`, `trained` and `moves` gave."""
        self._survival.copy_(tensors[SURVIVAL])
        for name, count in (moves or {}).items():
            self.groups[name].moves = count
        for name, indices in trained.items():
            self.groups[name].trained = set(indices)
        for name, counters in steps.items():
            group = self.groups[name]
            self._create(group)
            group.steps = list(counters)
            for index, counter in enumerate(counters):
                for home in group.homes[index] if group.homes else ():
                    home.filled = home.resident or counter > 0
            for place, bucket, home in group.filled():
                if not home.resident:
                    self._engine.host_access([], [home.memory])
                for state, view in bucket.views(home.memory).items():
                    view.copy_(tensors[f"{name}/{place}.{state}"])

    def _create(self, group: GroupState) -> None:
        size = group.state_bytes
        resident = self._unlimited or size == 0 or self.device_bytes + size <= self._budget
        make: Callable[[Bucket], Home] = self._make_resident if resident else self._make_offloaded
        with self._account.component("optimizer_state" if resident else HOST):
            group.homes = tuple(tuple(map(make, row)) for row in group.buckets)

    def _make_resident(self, bucket: Bucket) -> Home:
        memory = torch.zeros(bucket.num_bytes, dtype=torch.uint8, device=self._device)
        return Home(memory, resident=True, filled=True)

    def _make_offloaded(self, bucket: Bucket) -> Home:
        return Home(self._engine.allocate_host(bucket.num_bytes), resident=False)

    def _bucket_sizes(self) -> set[int]:
        groups = self.groups.values()
        return {bucket.num_bytes for group in groups for row in group.buckets for bucket in row}
