"""A device that does everything as late, as early and in as odd an order as it is allowed to.

It stands in for an accelerator in tests and in the self-test: state goes through its queues as it
would go through streams. Copies happen in two halves, memory that means nothing is poisoned, and
what a kernel touches without having said so is noticed.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lwft_bench.state.engine import Queue, Wait
from lwft_bench.state.happens_before import Clock, HappensBefore, Region

POISON = 0xFF
"""Every byte of memory without meaning: NaN in all floating-point types."""

_Part = Callable[[], object]

QUEUES = (Queue.IN, Queue.COMPUTE, Queue.OUT)


class Undeclared(Exception):
    """A kernel touched memory of the engine that it was not said to touch."""


@dataclass(frozen=True, slots=True)
class _Point:
    """An event: a queue, how many operations it had been given, and the checker's clock."""

    queue: Queue
    number: int
    clock: Clock


@dataclass(slots=True)
class _Operation:
    """parts: what it does, piece by piece. after: the points that come before it."""

    parts: deque[_Part]
    after: list[_Point]


class SimulatedEngine:
    """Queues all it is given, and runs it at random when somebody waits, or earlier.

    Args:
        seed: Of the order. Each seed has its own bias, from queues that race ahead to queues that do
            nothing until they must.
        disabled: Waits that are left out, to see whether that is found.
    """

    def __init__(self, seed: int = 0, disabled: Collection[Wait] = ()) -> None:
        self._rng = np.random.default_rng(seed)
        self._disabled = frozenset(disabled)
        self._checker = HappensBefore()
        self._queues: dict[Queue, deque[_Operation]] = {queue: deque() for queue in QUEUES}
        self._pending: dict[Queue, list[_Point]] = {queue: [] for queue in QUEUES}
        self._given: Counter[Queue] = Counter()
        self._done: Counter[Queue] = Counter()
        self._tracked: set[int] = set()
        self._speed = dict(zip(QUEUES, 10.0 ** self._rng.uniform(-3, 0, 3), strict=True))
        self._eagerness = self._rng.choice([0.0, 0.1, 0.5])
        self.waits: Counter[Wait] = Counter()
        """How often each wait was made."""
        self.bytes_in = 0
        """Copied in that were not all zero."""

    def allocate_host(self, num_bytes: int) -> torch.Tensor:
        return self._track(torch.full((num_bytes,), POISON, dtype=torch.uint8))

    def allocate_device(self, num_bytes: int) -> torch.Tensor:
        memory = self._track(torch.full((num_bytes,), POISON, dtype=torch.uint8))
        # Kernels that used this memory before may not have run yet.
        self._give(Queue.COMPUTE, "allocation", [], [], [memory])
        return memory

    def free_host(self, memory: torch.Tensor) -> None:
        self._checker.operation(Queue.HOST, "freeing", [], [Region.of(memory)])
        memory.fill_(POISON)
        self._tracked.discard(memory.untyped_storage()._cdata)

    def copy_in(self, device: torch.Tensor, host: torch.Tensor) -> None:
        def count() -> None:
            self.bytes_in += host.numel() if host.any() else 0

        parts: list[_Part] = [count, *_halves(device, host)]
        self._give(Queue.IN, "copy in", parts, [host], [device])

    def copy_out(self, host: torch.Tensor, device: torch.Tensor) -> None:
        parts: list[_Part] = [
            partial(host.fill_, POISON),
            *_halves(host, device),
            partial(device.fill_, POISON),
        ]
        self._give(Queue.OUT, "copy out", parts, [device], [host])

    def compute(
        self,
        work: Callable[[], None],
        reads: Sequence[torch.Tensor],
        writes: Sequence[torch.Tensor],
    ) -> None:
        def watched() -> None:
            with torch.no_grad(), _Witness(self._tracked, reads, writes):
                work()

        self._give(Queue.COMPUTE, "compute", [watched], reads, writes)

    def host_access(self, reads: Sequence[torch.Tensor], writes: Sequence[torch.Tensor]) -> None:
        self._checker.operation(
            Queue.HOST, "host access", map(Region.of, reads), map(Region.of, writes)
        )

    def record(self, queue: Queue) -> _Point:
        return _Point(queue, self._given[queue], self._checker.event(queue))

    def wait(self, queue: Queue, event: _Point | None, why: Wait) -> None:
        if event is None:
            return
        self.waits[why] += 1
        if why in self._disabled:
            return
        self._checker.wait(queue, event.clock)
        if queue is Queue.HOST:
            self._run_until(event)
        else:
            self._pending[queue].append(event)

    def catch_up(self) -> None:
        self._run_until(self.record(Queue.COMPUTE))

    def _track(self, memory: torch.Tensor) -> torch.Tensor:
        self._tracked.add(memory.untyped_storage()._cdata)
        return memory

    def _give(
        self,
        queue: Queue,
        what: str,
        parts: Sequence[_Part],
        reads: Sequence[torch.Tensor],
        writes: Sequence[torch.Tensor],
    ) -> None:
        what = f"{what} {self._given[queue]}"
        self._checker.operation(queue, what, map(Region.of, reads), map(Region.of, writes))
        self._queues[queue].append(_Operation(deque(parts), self._pending[queue]))
        self._pending[queue] = []
        self._given[queue] += 1
        while self._rng.random() < self._eagerness and self._run_something():
            pass

    def _run_until(self, point: _Point) -> None:
        while self._done[point.queue] < point.number:
            assert self._run_something(), f"everybody waits for somebody: {self._queues}"

    def _run_something(self) -> bool:
        """A part of one operation that may run; False if there is none."""
        ready = [queue for queue in QUEUES if self._is_ready(queue)]
        if not ready:
            return False
        speeds = np.array([self._speed[queue] for queue in ready])
        queue = ready[self._rng.choice(len(ready), p=speeds / speeds.sum())]
        operation = self._queues[queue][0]
        if operation.parts:
            operation.parts.popleft()()
        if not operation.parts:
            self._queues[queue].popleft()
            self._done[queue] += 1
        return True

    def _is_ready(self, queue: Queue) -> bool:
        waiting = self._queues[queue]
        return bool(waiting) and all(self._done[p.queue] >= p.number for p in waiting[0].after)


def _halves(target: torch.Tensor, source: torch.Tensor) -> list[_Part]:
    middle = target.numel() // 2
    return [
        partial(target[:middle].copy_, source[:middle]),
        partial(target[middle:].copy_, source[middle:]),
    ]


class _Witness(TorchDispatchMode):
    """Compares what kernels touch with what was declared."""

    def __init__(
        self, tracked: set[int], reads: Sequence[torch.Tensor], writes: Sequence[torch.Tensor]
    ) -> None:
        super().__init__()
        self._tracked = tracked
        self._writable = [Region.of(tensor) for tensor in writes]
        self._readable = [*map(Region.of, reads), *self._writable]

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        for argument, value in zip(func._schema.arguments, args, strict=False):
            self._look(func, argument, value)
        for argument in func._schema.arguments:
            if argument.name in kwargs:
                self._look(func, argument, kwargs[argument.name])
        return func(*args, **kwargs)

    def _look(self, func: Any, argument: Any, value: Any) -> None:
        alias = argument.alias_info
        if alias is not None and not alias.is_write:
            return  # a view: nothing is read yet
        allowed = self._readable if alias is None else self._writable
        for tensor in value if isinstance(value, list | tuple) else [value]:
            if not isinstance(tensor, torch.Tensor):
                continue
            region = Region.of(tensor)
            if region.storage in self._tracked and not any(a.contains(region) for a in allowed):
                verb = "reads" if alias is None else "writes"
                raise Undeclared(f"{func} {verb} bytes {region.start} to {region.stop}")
