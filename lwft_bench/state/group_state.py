"""A group of parameters as the store sees it: how they are cut, and where each piece of state is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch

from lwft_bench.optimizers.base import Optimizer
from lwft_bench.optimizers.random_bits import mix
from lwft_bench.state.layout import Bucket, cut
from lwft_bench.state.precision import Precision
from lwft_bench.state.staging import Home


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
        sizes: tuple[Precision, int],
    ) -> GroupState:
        """A group that has no state yet, cut for that precision into buckets of so many bytes."""
        precision, bucket_bytes = sizes
        buckets = tuple(
            cut(
                (parameter if part is None else parameter[part]).shape,
                rule,
                precision.of(parameter),
                bucket_bytes,
            )
            for parameter, part, rule in zip(parameters, rows, rules, strict=True)
        )
        return cls(parameters, rows, numbers, policy, rules, buckets, [0] * len(parameters))

    @property
    def host_bytes_allocated(self) -> int:
        """Of its offloaded state, each piece rounded up to a power of two."""
        homes = self.homes_where(resident=False)
        return sum(1 << (home.memory.numel() - 1).bit_length() for home in homes)

    @property
    def trained_parameters(self) -> int:
        """Elements of its parameters that were ever updated."""
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
