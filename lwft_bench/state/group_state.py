"""A group of parameters as the store sees it: how they are cut, and where each piece of state is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch

from lwft_bench.optimizers.base import Optimizer
from lwft_bench.state.layout import Bucket
from lwft_bench.state.staging import Home


@dataclass(slots=True)
class GroupState:
    """A unit or always-trained part: its parameters, and their state once it was trained."""

    parameters: Sequence[torch.nn.Parameter]
    numbers: Sequence[int]
    """The parameters' numbers in the model: they key stochastic rounding."""
    policy: Literal["keep", "reset"]
    rules: tuple[Optimizer, ...]
    """Of each parameter, as the optimizer chose."""
    buckets: tuple[tuple[Bucket, ...], ...]
    """Of each parameter."""
    steps: list[int] = field(default_factory=list)
    """Updates of each parameter since its state began."""
    trained: set[int] = field(default_factory=set)
    """Parameters that were ever updated."""
    homes: tuple[tuple[Home, ...], ...] | None = None
    """Of each bucket; None while the group has no state."""

    @property
    def state_bytes(self) -> int:
        """Of the group's state when it has one."""
        return sum(bucket.num_bytes for row in self.buckets for bucket in row)

    @classmethod
    def of(
        cls,
        parameters: Sequence[torch.nn.Parameter],
        numbers: Sequence[int],
        policy: Literal["keep", "reset"],
        rules: tuple[Optimizer, ...],
        buckets: tuple[tuple[Bucket, ...], ...],
    ) -> GroupState:
        """A group that has no state yet."""
        return cls(parameters, numbers, policy, rules, buckets, [0] * len(parameters))

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
