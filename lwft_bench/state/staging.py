"""The device buckets that offloaded state passes through: in, updated, out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import torch

from lwft_bench.memory.meters import Account
from lwft_bench.state.engine import Engine, Queue, QueueEvent, Wait

NUM_SLOTS = 6
"""While one bucket is updated, the next ones come in and the last ones go out. Three would do, but a
slot is refilled only when all of it has been written back: at the same memory, twice as many of half
the size leave less of the copies exposed (benchmarks/offload/figures.py)."""

SMALL_SHARE = 64
"""Buckets of at most this fraction of the largest (norms, biases) have slots of their own: they would
keep a large one, and with it the copies of a large bucket, waiting."""


@dataclass(slots=True, eq=False)
class Home:
    """Where a bucket's state lives between updates.

    memory: uint8, on the host if offloaded. filled: whether anything was ever put there; if not, the
    state is zero.
    """

    memory: torch.Tensor
    resident: bool
    filled: bool = False
    written: QueueEvent = None
    """The last write-back."""
    read: QueueEvent = None
    """The last copy to the device."""


@dataclass(slots=True, eq=False)
class _Slot:
    """incoming: the copy in that nobody has waited for yet. emptied: the last write-back."""

    memory: torch.Tensor
    incoming: QueueEvent = None
    emptied: QueueEvent = None


class Staging:
    """Hands out state on the device, brings in ahead what will be wanted next, and writes back.

    `expect` says in which order homes will be wanted. Being wrong about it costs time, never a
    number: a bucket that was brought in too early is dropped and brought in again.
    """

    def __init__(
        self, engine: Engine, account: Account, bucket_sizes: Callable[[], Collection[int]]
    ) -> None:
        """bucket_sizes: in bytes, of all buckets there will be; asked when slots are made."""
        self._engine = engine
        self._account = account
        self._bucket_sizes = bucket_sizes
        self._small_bytes = 0
        self._free: dict[bool, deque[_Slot]] = {}
        """For small buckets (True) and large ones. The one to be filled next comes first."""
        self._ahead: deque[tuple[Home, _Slot]] = deque()
        """Brought in, or on the way, and not asked for yet."""
        self._expected: deque[Home] = deque()
        """To be brought in after those, as far as is known."""

    def expect(self, homes: Iterable[Home]) -> None:
        """The homes that will be updated from now on, in order; begins to bring them in."""
        self._abandon()
        self._expected = deque(homes)
        self._bring_ahead()

    def update(self, home: Home, work: Callable[[torch.Tensor], None]) -> None:
        """Queues `work` on the home's state: uint8 on the device, of which every byte is state."""
        slot = self._slot_of(home)
        state = slot.memory[: home.memory.numel()]
        if home.filled:
            self._engine.wait(Queue.COMPUTE, slot.incoming, Wait.ARRIVED)
            self._engine.compute(lambda: work(state), [state], [state])
        else:
            self._engine.wait(Queue.COMPUTE, slot.emptied, Wait.ZEROED_EMPTIED)
            self._engine.wait(Queue.COMPUTE, slot.incoming, Wait.ZEROED_ABANDONED)

            def zero_and_work() -> None:
                state.zero_()
                work(state)

            self._engine.compute(zero_and_work, [state], [state])
        slot.incoming = None
        self._engine.wait(Queue.OUT, self._engine.record(Queue.COMPUTE), Wait.UPDATED)
        self._engine.copy_out(home.memory, state)
        home.filled = True
        home.written = slot.emptied = self._engine.record(Queue.OUT)
        self._free[self._is_small(home)].append(slot)
        self._bring_ahead()

    def release(self, homes: Iterable[Home]) -> None:
        """The homes' memory will be let go of: waits until no copy uses it.

        What was expected no longer holds.
        """
        self._abandon()
        self._expected.clear()
        for home in homes:
            self._engine.wait(Queue.HOST, home.written, Wait.FREED_WRITTEN)
            self._engine.wait(Queue.HOST, home.read, Wait.FREED_READ)
            self._engine.free_host(home.memory)

    def _slot_of(self, home: Home) -> _Slot:
        if not (self._ahead and self._ahead[0][0] is home):
            self._abandon()
            self._expect_first(home)
            self._bring_ahead()
        return self._ahead.popleft()[1]

    def _expect_first(self, home: Home) -> None:
        """Whatever was expected before this home is put off to the end."""
        if home in self._expected:
            self._expected.rotate(-self._expected.index(home))
        else:
            self._expected.appendleft(home)

    def _abandon(self) -> None:
        """What was brought in ahead is forgotten: nobody has changed it."""
        while self._ahead:
            home, slot = self._ahead.pop()
            self._expected.appendleft(home)
            self._free[self._is_small(home)].appendleft(slot)

    def _bring_ahead(self) -> None:
        if self._expected and not self._free:
            self._make_slots()
        while self._expected and (free := self._free[self._is_small(self._expected[0])]):
            home, slot = self._expected.popleft(), free.popleft()
            self._ahead.append((home, slot))
            if home.filled:
                self._engine.wait(Queue.IN, slot.emptied, Wait.EMPTIED)
                self._engine.wait(Queue.IN, home.written, Wait.HOME_WRITTEN)
                self._engine.copy_in(slot.memory[: home.memory.numel()], home.memory)
                home.read = slot.incoming = self._engine.record(Queue.IN)

    def _is_small(self, home: Home) -> bool:
        return home.memory.numel() <= self._small_bytes

    def _make_slots(self) -> None:
        sizes = self._bucket_sizes()
        self._small_bytes = max(sizes) // SMALL_SHARE
        small = [size for size in sizes if size <= self._small_bytes]
        with self._account.component("staging"):
            self._free = {
                is_small: deque(
                    _Slot(self._engine.allocate_device(num_bytes)) for _ in range(NUM_SLOTS)
                )
                for is_small, num_bytes in ((True, max(small, default=0)), (False, max(sizes)))
            }
        self._engine.wait(Queue.IN, self._engine.record(Queue.COMPUTE), Wait.SLOTS_MADE)
