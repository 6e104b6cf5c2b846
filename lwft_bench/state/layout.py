"""How the optimizer state of one group of parameters lies in flat slabs, cut into buckets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 64
"""Elements. torch's fused CPU AdamW vectorises from the start of what it is given: it gives the same
bits for a tensor and for its slices only where these begin at multiples of 64 elements."""


def aligned(num_elements: int) -> int:
    """The next multiple of ALIGNMENT."""
    return -(-num_elements // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True, slots=True)
class Bucket:
    """A slice of one parameter and where its state lies in the slab.

    parameter: index in the group. start, stop: elements of the flattened parameter. offset: first
    element in the slab.
    """

    parameter: int
    start: int
    stop: int
    offset: int

    @property
    def num_elements(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Layout:
    """Buckets of a group, parameter by parameter: `buckets[i]` are those of parameter i."""

    buckets: tuple[tuple[Bucket, ...], ...]
    num_elements: int
    """Of the slab, alignment gaps included."""


def make_layout(sizes: Sequence[int], bucket_elements: int) -> Layout:
    """Cuts parameters of the given sizes (elements) into buckets.

    Every parameter starts at an aligned offset with a bucket of its own; buckets end at multiples of
    ALIGNMENT within the parameter, or with it.
    """
    assert bucket_elements >= ALIGNMENT and bucket_elements % ALIGNMENT == 0
    offset = 0
    buckets = []
    for index, size in enumerate(sizes):
        buckets.append(
            tuple(
                Bucket(index, start, min(start + bucket_elements, size), offset + start)
                for start in range(0, size, bucket_elements)
            )
        )
        offset += aligned(size)
    return Layout(tuple(buckets), offset)
