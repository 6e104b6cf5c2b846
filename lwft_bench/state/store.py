"""Optimizer state of every group of parameters: where it lives, and the update that uses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch

from lwft_bench.state.adamw import AdamW
from lwft_bench.state.layout import ALIGNMENT, Bucket, Layout, aligned, make_layout
from lwft_bench.state.precision import CHUNK_ELEMENTS, Precision, mix, update_slice
from lwft_bench.training.accounting import HOST
from lwft_bench.training.meters import Account

NUM_SLOTS = 3
"""Device buckets that offloaded state passes through."""

SURVIVAL = "survival"
Slabs = dict[str, torch.Tensor]


@dataclass(slots=True)
class GroupState:
    """A unit or always-trained part: its parameters, and their state once it was trained."""

    parameters: Sequence[torch.nn.Parameter]
    numbers: Sequence[int]
    """The parameters' numbers in the model: they key stochastic rounding."""
    policy: Literal["keep", "reset"]
    layout: Layout
    steps: list[int] = field(default_factory=list)
    """Updates of each parameter since its state began."""
    trained: set[int] = field(default_factory=set)
    """Parameters that were ever updated."""
    slabs: Slabs | None = None
    resident: bool = False


class StateStore:
    """Keeps, resets, streams and saves state; knows groups by name and no strategy.

    on_device: "all"; "none"; or the bytes of state that may stay on the device, given to groups as
    they are first trained. What does not stay lives in host slabs and passes through NUM_SLOTS
    device buckets of `bucket_bytes`.
    """

    def __init__(
        self,
        optimizer: AdamW,
        precision: Precision,
        *,
        device: torch.device,
        on_device: Literal["all", "none"] | int,
        bucket_bytes: int,
        rounding_seed: int,
        account: Account,
    ) -> None:
        self._optimizer = optimizer
        self._precision = precision
        self._device = device
        self._account = account
        self._rounding_seed = rounding_seed
        self._budget = on_device if isinstance(on_device, int) else 0
        self._unlimited = on_device == "all"
        self._dtypes = dict.fromkeys(optimizer.state_names, precision.state)
        if precision.master:
            self._dtypes["master"] = torch.float32
        self.bytes_per_element = sum(dtype.itemsize for dtype in self._dtypes.values())
        elements = bucket_bytes // self.bytes_per_element // ALIGNMENT * ALIGNMENT
        self._bucket_elements = max(elements, ALIGNMENT)
        self._survival = torch.zeros(2, dtype=torch.int64, device=device)
        self.counts_survival = False
        """Whether updates count how many elements' updates survive rounding."""
        self._slots: list[Slabs] = []
        self._next_slot = 0
        self.groups: dict[str, GroupState] = {}

    def add(
        self,
        name: str,
        parameters: Sequence[torch.nn.Parameter],
        numbers: Sequence[int],
        policy: Literal["keep", "reset"],
    ) -> None:
        """Makes a group known. It costs nothing until it is trained."""
        layout = make_layout([p.numel() for p in parameters], self._bucket_elements)
        self.groups[name] = GroupState(parameters, numbers, policy, layout, [0] * len(parameters))

    def switch(self, leaving: Sequence[str], starting: Sequence[str]) -> None:
        """At a new selection: `leaving` groups lose their state if their policy says so, and
        `starting` ones get theirs."""
        for name in leaving:
            self.drop(name)
        for name in starting:
            if self.groups[name].slabs is None:
                self._create(self.groups[name])

    def drop(self, name: str) -> None:
        """Ends the state of a group with policy `reset`; its next update begins from step 1."""
        group = self.groups[name]
        if group.policy == "reset":
            group.slabs = None
            group.steps = [0] * len(group.parameters)

    def update(self, name: str, index: int, lr: float) -> None:
        """One optimizer step of the group's parameter `index`, from its `.grad`."""
        group = self.groups[name]
        assert group.slabs is not None, f"state of {name} was never created"
        parameter = group.parameters[index]
        weight = parameter.detach().view(-1)
        gradient = parameter.grad.reshape(-1)  # type: ignore[union-attr]
        first_touch = group.steps[index] == 0
        group.steps[index] += 1
        group.trained.add(index)
        step = group.steps[index]
        key = mix(self._rounding_seed, step, group.numbers[index])

        def kernel(weight: torch.Tensor, gradient: torch.Tensor, state: Slabs) -> None:
            self._optimizer.update(weight, gradient, state, step, lr)

        for bucket in group.layout.buckets[index]:
            part = slice(bucket.start, bucket.stop)
            host = _views(group.slabs, bucket)
            state = host if group.resident else self._fetch(host, first_touch)
            if first_touch and self._precision.master:
                state["master"].copy_(weight[part])
            sample = slice(bucket.start, min(bucket.stop, bucket.start + CHUNK_ELEMENTS))
            before = weight[sample].clone() if self.counts_survival else None
            update_slice(
                self._precision, kernel, weight[part], gradient[part], state, key, bucket.start
            )
            if before is not None:
                moving = state[self._optimizer.state_names[0]][: before.numel()] != 0
                changed = (weight[sample] != before) & moving
                self._survival += torch.stack([changed.sum(), moving.sum()])
            if not group.resident:
                for tensor_name, tensor in host.items():
                    tensor.copy_(state[tensor_name])

    @property
    def device_bytes(self) -> int:
        """State on the device, staging buckets not counted."""
        return self._bytes(resident=True)

    @property
    def host_bytes(self) -> int:
        """State offloaded to the host."""
        return self._bytes(resident=False)

    def surviving_update_share(self) -> float | None:
        """Of the elements with a moment that is not zero, the share whose stored weight changed.

        Over the updates made while `counts_survival` was on, of the first CHUNK_ELEMENTS of each
        bucket. None before any.
        """
        changed, moving = self._survival.tolist()
        return changed / moving if moving else None

    @property
    def trained_parameters(self) -> int:
        """Elements of all parameters that were ever updated."""
        return sum(
            group.parameters[index].numel()
            for group in self.groups.values()
            for index in group.trained
        )

    def trained(self) -> dict[str, list[int]]:
        """Which parameters of each group were ever updated, JSON-able."""
        return {name: sorted(group.trained) for name, group in self.groups.items()}

    def state_tensors(self) -> dict[str, torch.Tensor]:
        """Every slab under `<group>/<state>` and the survival counts, for a checkpoint."""
        return {
            f"{name}/{state}": slab
            for name, group in self.groups.items()
            for state, slab in (group.slabs or {}).items()
        } | {SURVIVAL: self._survival}

    def steps(self) -> dict[str, list[int]]:
        """Step counters of the groups that have state, JSON-able."""
        return {name: group.steps for name, group in self.groups.items() if group.slabs is not None}

    def load(
        self,
        tensors: dict[str, torch.Tensor],
        steps: dict[str, list[int]],
        trained: dict[str, list[int]],
    ) -> None:
        """Restores what `state_tensors`, `steps` and `trained` gave."""
        self._survival.copy_(tensors[SURVIVAL])
        for name, indices in trained.items():
            self.groups[name].trained = set(indices)
        for name, counters in steps.items():
            group = self.groups[name]
            self._create(group)
            assert group.slabs is not None
            for state, slab in group.slabs.items():
                slab.copy_(tensors[f"{name}/{state}"])
            group.steps = list(counters)

    def _bytes(self, *, resident: bool) -> int:
        return sum(
            group.layout.num_elements * self.bytes_per_element
            for group in self.groups.values()
            if group.slabs is not None and group.resident == resident
        )

    def _create(self, group: GroupState) -> None:
        num_bytes = group.layout.num_elements * self.bytes_per_element
        group.resident = self._unlimited or self.device_bytes + num_bytes <= self._budget
        size = group.layout.num_elements
        if group.resident:
            with self._account.component("optimizer_state"):
                group.slabs = {
                    name: torch.zeros(size, dtype=dtype, device=self._device)
                    for name, dtype in self._dtypes.items()
                }
        else:
            with self._account.component(HOST):
                group.slabs = {
                    name: torch.zeros(size, dtype=dtype, pin_memory=self._device.type != "cpu")
                    for name, dtype in self._dtypes.items()
                }

    def _fetch(self, host: Slabs, first_touch: bool) -> Slabs:
        """Views of the next device bucket, filled from the host, or zeroed if nothing is there."""
        if not self._slots:
            self._slots = self._create_slots()
        slot = self._slots[self._next_slot]
        self._next_slot = (self._next_slot + 1) % NUM_SLOTS
        views = {name: slot[name][: tensor.numel()] for name, tensor in host.items()}
        for name, view in views.items():
            view.zero_() if first_touch else view.copy_(host[name])
        return views

    def _create_slots(self) -> list[Slabs]:
        """Device buckets, no larger than the largest bucket of any group."""
        layouts = [group.layout for group in self.groups.values()]
        largest = max(b.num_elements for layout in layouts for row in layout.buckets for b in row)
        with self._account.component("staging"):
            return [
                {
                    name: torch.empty(aligned(largest), dtype=dtype, device=self._device)
                    for name, dtype in self._dtypes.items()
                }
                for _ in range(NUM_SLOTS)
            ]


def _views(slabs: Slabs, bucket: Bucket) -> Slabs:
    end = bucket.offset + bucket.num_elements
    return {name: slab[bucket.offset : end] for name, slab in slabs.items()}
