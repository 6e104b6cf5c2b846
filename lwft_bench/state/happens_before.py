"""Finds accesses to the same memory that nothing orders, whatever order they happened to run in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from lwft_bench.state.engine import Queue

Clock = dict[Queue, int]
"""Queue -> how many of its operations are known to be done."""


class Race(Exception):
    """Two operations use the same memory, one of them writes, and nothing says which comes first."""


@dataclass(frozen=True, slots=True)
class Region:
    """Bytes start to stop of a storage."""

    storage: int
    start: int
    stop: int

    @classmethod
    def of(cls, tensor: torch.Tensor) -> Region:
        """From the first to the last byte that the tensor reaches."""
        last = sum(
            (size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True)
        )
        start = int(tensor.storage_offset()) * tensor.itemsize
        size = (last + 1) * tensor.itemsize if tensor.numel() else 0
        return cls(tensor.untyped_storage()._cdata, start, start + size)

    def overlaps(self, other: Region) -> bool:
        same = self.storage == other.storage
        return same and self.start < other.stop and other.start < self.stop

    def contains(self, other: Region) -> bool:
        same = self.storage == other.storage
        return same and self.start <= other.start and other.stop <= self.stop


@dataclass(frozen=True, slots=True)
class _Access:
    region: Region
    writes: bool
    queue: Queue
    tick: int
    what: str


class HappensBefore:
    """Vector clocks (Mattern, 1989) over the queues, fed in the order in which work is given out.

    An operation comes after everything its queue was given before, after what this process had done
    or waited for when it gave it out, and after the events its queue waited for. It is enough to run
    once: a race is found whether or not the operations met.
    """

    def __init__(self) -> None:
        self._clocks: dict[Queue, Clock] = {queue: dict.fromkeys(Queue, 0) for queue in Queue}
        self._accesses: dict[int, list[_Access]] = defaultdict(list)

    def operation(
        self, queue: Queue, what: str, reads: Iterable[Region], writes: Iterable[Region]
    ) -> None:
        """Raises:
        Race: it conflicts with an earlier operation.
        """
        clock = self._clocks[queue]
        _join(clock, self._clocks[Queue.HOST])
        clock[queue] += 1
        for writing, regions in ((False, reads), (True, writes)):
            for region in regions:
                self._access(_Access(region, writing, queue, clock[queue], what), clock)

    def event(self, queue: Queue) -> Clock:
        """What is done when the queue has done all it was given so far."""
        clock = dict(self._clocks[queue])
        _join(clock, self._clocks[Queue.HOST])
        return clock

    def wait(self, queue: Queue, event: Clock) -> None:
        """The queue's next operations come after the event."""
        _join(self._clocks[queue], event)

    def _access(self, access: _Access, clock: Clock) -> None:
        accesses = self._accesses[access.region.storage]
        for earlier in accesses:
            conflict = access.writes or earlier.writes
            ordered = clock[earlier.queue] >= earlier.tick
            if conflict and not ordered and access.region.overlaps(earlier.region):
                raise Race(
                    f"{access.what} ({access.queue}) is not ordered after "
                    f"{earlier.what} ({earlier.queue})"
                )
        if access.writes:  # who comes after this write comes after all that it covers
            accesses[:] = [a for a in accesses if not access.region.contains(a.region)]
        accesses.append(access)


def _join(clock: Clock, other: Clock) -> None:
    for queue, tick in other.items():
        clock[queue] = max(clock[queue], tick)
