"""A group of parameters as the store sees it: how they are cut, and where each piece of state is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch

from lwft_bench.models.sharded import own_rows
from lwft_bench.optimizers.base import Optimizer
from lwft_bench.optimizers.random_bits import mix
from lwft_bench.state.layout import Bucket
from lwft_bench.state.staging import Home


class Moment(NamedTuple):
    """Which update it is: `step` numbers those of the parameter's own state from 1, `counted` is the
    number that the rule is told, and `key` keys the rounding.
    """

    step: int
    lr: float
    key: int
    counted: int


@dataclass(slots=True)
class GroupState:
    """A unit or always-trained part: its parameters, and their state once it was trained."""

    parameters: Sequence[torch.nn.Parameter]
    rows: Sequence[slice | None]
    """Of each parameter that is the group's in part only, the rows that are."""
    numbers: Sequence[int]
    """The parameters' numbers in the model."""
    policy: Literal["keep", "reset"]
    rules: tuple[Optimizer, ...]
    """Of each parameter, as the optimizer chose."""
    buckets: tuple[tuple[Bucket, ...], ...]
    """Of each parameter."""
    steps: list[int] = field(default_factory=list)
    """Updates of each parameter since its state began."""
    trained: set[int] = field(default_factory=set)
    """Parameters that were ever updated."""
    moves: int = 0
    """How often its parameters were moved by the rule for unselected units, all together."""
    homes: tuple[tuple[Home, ...], ...] | None = None
    """Of each bucket; None while the group has no state."""

    def piece(self, index: int, tensor: torch.Tensor) -> torch.Tensor:
        """Of a tensor in the shape of parameter `index`, what is the group's."""
        rows = self.rows[index]
        return tensor if rows is None else tensor[rows]

    def here(self, index: int, tensor: torch.Tensor) -> torch.Tensor:
        """The same without what other processes hold."""
        return own_rows(self.piece(index, tensor))

    def key(self, index: int) -> int:
        """What keys the stochastic rounding of a parameter, or of rows of one."""
        rows = self.rows[index]
        return self.numbers[index] if rows is None else mix(0, self.numbers[index], rows.start)

    @property
    def state_bytes(self) -> int:
        """Of the group's state when it has one."""
        return sum(bucket.num_bytes for row in self.buckets for bucket in row)

    @classmethod
    def of(
        cls,
        parameters: Sequence[torch.nn.Parameter],
        rows: Sequence[slice | None],
        numbers: Sequence[int],
        policy: Literal["keep", "reset"],
        rules: tuple[Optimizer, ...],
        buckets: tuple[tuple[Bucket, ...], ...],
    ) -> GroupState:
        """A group that has no state yet."""
        return cls(parameters, rows, numbers, policy, rules, buckets, [0] * len(parameters))

    @property
    def host_bytes_allocated(self) -> int:
        """Of its offloaded state, each piece rounded up to a power of two."""
        homes = self.homes_where(resident=False)
        return sum(1 << (home.memory.numel() - 1).bit_length() for home in homes)

    @property
    def trained_parameters(self) -> int:
        """Elements of its parameters that were ever updated, over all processes."""
        return sum(self.piece(index, self.parameters[index]).numel() for index in self.trained)

    def homes_where(self, *, resident: bool) -> Iterator[Home]:
        """Those on the device, or those that are not."""
        for row in self.homes or ():
            yield from (home for home in row if home.resident == resident)

    def filled(self) -> Iterator[tuple[str, Bucket, Home]]:
        """Buckets that hold state, each with a name: `<parameter>.<bucket>`."""
        for parameter, (row, homes) in enumerate(zip(self.buckets, self.homes or (), strict=False)):
            for number, (bucket, home) in enumerate(zip(row, homes, strict=True)):
                if home.filled:
                    yield f"{parameter}.{number}", bucket, home


def num_bytes(groups: Iterable[GroupState], *, resident: bool) -> int:
    """Of the groups' state on the device, or of that which is not."""
    homes = (home for group in groups for home in group.homes_where(resident=resident))
    return sum(home.memory.numel() for home in homes)


class GroupStates:
    """All groups by name, and what they hold together.

    survival: int64 [4], as `BucketUpdates` counts.
    """

    def __init__(self, survival: torch.Tensor) -> None:
        self._survival = survival
        self.groups: dict[str, GroupState] = {}

    @property
    def device_bytes(self) -> int:
        """State on the device, staging buckets not counted."""
        return num_bytes(self.groups.values(), resident=True)

    @property
    def host_bytes(self) -> int:
        """State offloaded to the host."""
        return num_bytes(self.groups.values(), resident=False)

    @property
    def host_bytes_allocated(self) -> int:
        """`host_bytes` as torch's allocator for pinned memory rounds them: to powers of two."""
        return sum(group.host_bytes_allocated for group in self.groups.values())

    def host_bytes_of(self, name: str) -> int:
        """The part of `host_bytes` that is the group's."""
        return num_bytes([self.groups[name]], resident=False)

    @property
    def trained_parameters(self) -> int:
        """Elements of all parameters that were ever updated."""
        return sum(group.trained_parameters for group in self.groups.values())

    def trained(self) -> dict[str, list[int]]:
        """Which parameters of each group were ever updated, JSON-able."""
        return {name: sorted(group.trained) for name, group in self.groups.items()}

    def moves(self) -> dict[str, int]:
        """Of each group, JSON-able."""
        return {name: group.moves for name, group in self.groups.items()}

    def steps(self) -> dict[str, list[int]]:
        """Step counters of the groups that have state, JSON-able."""
        return {name: group.steps for name, group in self.groups.items() if group.homes is not None}

    def surviving_update_share(self) -> float | None:
        """Of the elements with a moment (without moments: a gradient) that is not zero, the share whose
        stored weight changed.

        Over the updates made while `counts_survival` was on, of the first CHUNK_ELEMENTS of each
        bucket. None before any.
        """
        changed, moving, _, _ = self._survival.tolist()
        return changed / moving if moving else None

    def stuck_second_moment_share(self) -> float | None:
        """Of the elements whose second moment was above the squared gradient, the share whose stored
        second moment did not change: rounding took the step.

        Over the same updates and elements. None without any: float32 moments are not looked at.
        """
        _, _, stuck, falling = self._survival.tolist()
        return stuck / falling if falling else None

    def sum_counts(self, add: Callable[[torch.Tensor], None]) -> None:
        """At the end: what updates were counted on this process becomes what was on all."""
        add(self._survival)
