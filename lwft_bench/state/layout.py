"""How parameters are cut into buckets, and how a bucket's state lies in one piece of memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch

from lwft_bench.optimizers.base import ALIGNMENT, Field, Optimizer
from lwft_bench.state.precision import Precision

FIELD_BYTES = 128
"""Fields begin at multiples of this in a bucket: enough for any vectorised load."""


def aligned(number: int, to: int = ALIGNMENT) -> int:
    """The next multiple of `to`."""
    return -(-number // to) * to


@dataclass(frozen=True, slots=True)
class Bucket:
    """A slice of one flattened parameter, elements start to stop, and the fields of its state.

    first: the number of its first element in the whole parameter, of which others may hold a part.
    """

    start: int
    stop: int
    fields: tuple[Field, ...]
    first: int

    @property
    def num_bytes(self) -> int:
        return sum(aligned(field.num_bytes, FIELD_BYTES) for field in self.fields)

    def views(self, memory: torch.Tensor) -> dict[str, torch.Tensor]:
        """The fields by name in `memory`, uint8 [num_bytes]."""
        views, offset = {}, 0
        for field in self.fields:
            part = memory[offset : offset + field.num_bytes]
            views[field.name] = part.view(field.dtype).view(field.shape)
            offset += aligned(field.num_bytes, FIELD_BYTES)
        return views


def cut(
    shape: Sequence[int],
    optimizer: Optimizer,
    precision: Precision,
    bucket_bytes: int,
    first: int = 0,
) -> tuple[Bucket, ...]:
    """The buckets of a parameter of that shape, in order.

    All but the last are as large as `bucket_bytes` allows, and end at multiples of the optimizer's
    alignment. A parameter that cannot be cut, or has no state, is one bucket, however large.

    Args:
        first: The number of the first element, where others hold those before it.
    """
    size = prod(shape)
    if optimizer.kind == "opaque":
        return (Bucket(0, size, optimizer.fields(tuple(shape), precision.state), first),)
    if size == 0:
        return ()
    unit = optimizer.alignment
    unit_bytes = sum(f.num_bytes for f in _fields(unit, optimizer, precision))
    if unit_bytes == 0:
        return (Bucket(0, size, _fields(size, optimizer, precision), first),)
    elements = max(1, bucket_bytes // unit_bytes) * unit
    while elements > unit and _num_bytes(elements, optimizer, precision) > bucket_bytes:
        elements -= unit  # what aligning the fields took
    elements = aligned(-(-size // -(-size // elements)), unit)
    starts = range(0, size, elements)
    ends = [min(start + elements, size) for start in starts]
    return tuple(
        Bucket(start, stop, _fields(stop - start, optimizer, precision), first + start)
        for start, stop in zip(starts, ends, strict=True)
    )


def _num_bytes(size: int, optimizer: Optimizer, precision: Precision) -> int:
    return Bucket(0, size, _fields(size, optimizer, precision), 0).num_bytes


def _fields(size: int, optimizer: Optimizer, precision: Precision) -> tuple[Field, ...]:
    fields = optimizer.fields((size,), precision.state)
    if precision.master:
        fields = (*fields, Field("master", torch.float32, (size,)))
    return fields
