"""What moves optimizer state between host and device, and keeps the moves in order.

Three queues work side by side, each in the order in which it was given its work: `in` (host to
device), `out` (device to host) and `compute` (the kernels, those of forward and backward passes
included). What must not overtake what between queues is said by `record` and `wait`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Protocol

import torch


class Queue(StrEnum):
    """HOST is this process: it waits, and works on host memory, but nothing is queued on it."""

    IN = "in"
    COMPUTE = "compute"
    OUT = "out"
    HOST = "host"


class Wait(StrEnum):
    """Every wait there is, and what goes wrong without it."""

    SLOTS_MADE = "slots-made"
    """in waits for compute: a kernel still uses the memory that has just become a slot."""
    EMPTIED = "emptied"
    """in waits for out: a slot is overwritten while it is being written back."""
    HOME_WRITTEN = "home-written"
    """in waits for out: a bucket is read on the host before its last write-back has arrived."""
    ARRIVED = "arrived"
    """compute waits for in: an update uses state that is not there yet."""
    ZEROED_EMPTIED = "zeroed-emptied"
    """compute waits for out: a slot is zeroed while it is being written back."""
    ZEROED_ABANDONED = "zeroed-abandoned"
    """compute waits for in: a prefetch that nobody wanted lands on state that was just zeroed."""
    UPDATED = "updated"
    """out waits for compute: state is written back before it is updated."""
    SAVED = "saved"
    """host waits for out: a checkpoint reads what has not arrived."""
    FREED_WRITTEN = "freed-written"
    """host waits for out: a write-back lands in memory that is no longer ours."""
    FREED_READ = "freed-read"
    """host waits for in: a prefetch that nobody wanted reads memory that is no longer ours."""


QueueEvent = Any
"""What `record` gives and `wait` takes; None: nothing to wait for."""


class Engine(Protocol):
    """Tensors given to it are uint8 pieces of what `allocate_host` and `allocate_device` gave."""

    def allocate_host(self, num_bytes: int) -> torch.Tensor:
        """uint8 [num_bytes] on the host, its content undefined, that copies can run beside kernels."""

    def allocate_device(self, num_bytes: int) -> torch.Tensor:
        """uint8 [num_bytes] on the device, its content undefined, ours once compute gets there."""

    def free_host(self, memory: torch.Tensor) -> None:
        """The memory is about to be let go of."""

    def copy_in(self, device: torch.Tensor, host: torch.Tensor) -> None:
        """On `in`."""

    def copy_out(self, host: torch.Tensor, device: torch.Tensor) -> None:
        """On `out`."""

    def compute(
        self,
        work: Callable[[], None],
        reads: Sequence[torch.Tensor],
        writes: Sequence[torch.Tensor],
    ) -> None:
        """On `compute`: kernels that touch these pieces, and whatever else compute owns."""

    def host_access(self, reads: Sequence[torch.Tensor], writes: Sequence[torch.Tensor]) -> None:
        """This process is about to use these pieces by itself."""

    def record(self, queue: Queue) -> QueueEvent:
        """The point that the queue has reached when all it was given so far is done."""

    def wait(self, queue: Queue, event: QueueEvent, why: Wait) -> None:
        """What the queue is given from now on begins after the event."""

    def catch_up(self) -> None:
        """Kernels that are not issued through the engine follow, and use what `compute` wrote.

        On a stream they come after it by themselves; an engine that puts kernels off runs them now.
        """


class SynchronousEngine:
    """Does everything at once: for the CPU, where there is one memory and one queue."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def allocate_host(self, num_bytes: int) -> torch.Tensor:
        return torch.empty(num_bytes, dtype=torch.uint8)

    def allocate_device(self, num_bytes: int) -> torch.Tensor:
        return torch.empty(num_bytes, dtype=torch.uint8, device=self._device)

    def free_host(self, memory: torch.Tensor) -> None:
        pass

    def copy_in(self, device: torch.Tensor, host: torch.Tensor) -> None:
        device.copy_(host)

    def copy_out(self, host: torch.Tensor, device: torch.Tensor) -> None:
        host.copy_(device)

    def compute(
        self,
        work: Callable[[], None],
        reads: Sequence[torch.Tensor],
        writes: Sequence[torch.Tensor],
    ) -> None:
        work()

    def host_access(self, reads: Sequence[torch.Tensor], writes: Sequence[torch.Tensor]) -> None:
        pass

    def record(self, queue: Queue) -> QueueEvent:
        return None

    def wait(self, queue: Queue, event: QueueEvent, why: Wait) -> None:
        pass

    def catch_up(self) -> None:
        pass
