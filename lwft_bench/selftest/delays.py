"""An engine on an accelerator that is slow on one queue, to bring races out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from lwft_bench.state.accelerator import AcceleratorEngine
from lwft_bench.state.engine import Queue, QueueEvent

SIDE = 2048
"""Of the matrices whose product is the delay: some tens of microseconds to a millisecond, many times
what copying or updating a small bucket takes."""


class DelayedEngine(AcceleratorEngine):
    """Puts a busy kernel before everything it gives to `queue`."""

    def __init__(self, device: torch.device, queue: Queue) -> None:
        super().__init__(device)
        self._delayed = queue
        self._matrix = torch.ones(SIDE, SIDE, device=device)
        self._product = torch.empty_like(self._matrix)
        torch.get_device_module(device).synchronize(device)

    def copy_in(self, device: torch.Tensor, host: torch.Tensor) -> None:
        self._delay(Queue.IN)
        super().copy_in(device, host)

    def copy_out(self, host: torch.Tensor, device: torch.Tensor) -> None:
        self._delay(Queue.OUT)
        super().copy_out(host, device)

    def compute(
        self,
        work: Callable[[], None],
        reads: Sequence[torch.Tensor],
        writes: Sequence[torch.Tensor],
    ) -> None:
        self._delay(Queue.COMPUTE)
        super().compute(work, reads, writes)

    def _delay(self, queue: Queue) -> None:
        if queue is self._delayed:
            with self._streams[queue]:
                torch.mm(self._matrix, self._matrix, out=self._product)


class SerialEngine(AcceleratorEngine):
    """Waits on the host for everything: what offloading costs where nothing overlaps."""

    def record(self, queue: Queue) -> QueueEvent:
        event = super().record(queue)
        event.synchronize()
        return event
