"""Clocks, and what the step tells whoever accounts its memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

import torch


class Account(Protocol):
    """What the step says about its memory as it goes. `accounting.MemoryAccount` listens."""

    def phase(self, name: str) -> AbstractContextManager[None]:
        """probe, forward, backward, update or switch."""

    def component(self, name: str) -> AbstractContextManager[None]:
        """What is allocated inside belongs to this component."""

    def relabel(self, tensor: torch.Tensor, component: str) -> None:
        """An existing tensor belongs to this component from now on."""


class NoAccount:
    """Listens to nothing: a real run pays nothing for accounting."""

    def phase(self, name: str) -> AbstractContextManager[None]:
        return nullcontext()

    def component(self, name: str) -> AbstractContextManager[None]:
        return nullcontext()

    def relabel(self, tensor: torch.Tensor, component: str) -> None:
        pass


class PhasePeaks(NoAccount):
    """On an accelerator: the allocator's peak within each phase, without synchronising.

    The allocator counts on the host as tensors are made and freed, so reading it waits for nothing.
    Phases do not nest.
    """

    def __init__(self, device: torch.device) -> None:
        self._module = torch.get_device_module(device)
        self._device = device
        self.peaks: dict[str, int] = {}
        self.reserved = 0
        """Peak of what the allocator held, over all phases."""

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self._module.reset_peak_memory_stats(self._device)
        try:
            yield
        finally:
            peak = self._module.max_memory_allocated(self._device)
            self.peaks[name] = max(self.peaks.get(name, 0), peak)
            self.reserved = max(self.reserved, self._module.max_memory_reserved(self._device))


def allocated_bytes(device: torch.device) -> int | None:
    """What the device's allocator has given out now; None on the CPU, which has none that counts."""
    if device.type == "cpu":
        return None
    return int(torch.get_device_module(device).memory_allocated(device))


def synchronised_clock(device: torch.device) -> float:
    """Seconds, read when the device has done everything asked of it."""
    if device.type != "cpu":
        torch.get_device_module(device).synchronize(device)
    return time.perf_counter()
