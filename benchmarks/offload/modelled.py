"""A transfer engine that moves nothing and works out how long an accelerator would take.

For steps on fake tensors: each queue has a clock, copies take their bytes at a bandwidth, kernels
their arithmetic or their bytes at a rate, and waits make one clock follow another. This process is
taken to be ahead of the device at all times, as it is with kernels that take long enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lwft_bench.state.engine import Queue, SynchronousEngine, Wait


@dataclass(frozen=True, slots=True)
class DeviceModel:
    """Rates that are reached in practice, not peaks.

    bandwidth: host to device and device to host, each by itself, in bytes a second.
    memory_bandwidth: of the device's own memory, in bytes a second. copy_seconds: what a copy takes
    besides its bytes.
    """

    flops_per_second: float
    bandwidth: float
    memory_bandwidth: float
    copy_seconds: float = 5e-6


@dataclass(frozen=True, slots=True)
class Update:
    """One `compute`: seconds of other kernels before it, its own, and bytes that had to come in."""

    kernels_before: float
    seconds: float
    state_bytes: int


class ModelledEngine(SynchronousEngine):
    """Clocks in seconds. Memory is allocated as the synchronous engine does, so it can be counted.

    Args:
        flops: The floating-point operations of the model's own kernels so far.
    """

    def __init__(self, device: torch.device, model: DeviceModel, flops: Callable[[], int]) -> None:
        super().__init__(device)
        self._model = model
        self._flops = flops
        self._flops_before = 0
        self._kernels = 0.0
        self._waited = False
        self.clocks = dict.fromkeys(Queue, 0.0)
        self.updates: list[Update] = []

    def copy_in(self, device: torch.Tensor, host: torch.Tensor) -> None:
        self._copy(Queue.IN, host)

    def copy_out(self, host: torch.Tensor, device: torch.Tensor) -> None:
        self._copy(Queue.OUT, host)

    def compute(
        self,
        work: Callable[[], None],
        reads: Sequence[torch.Tensor],
        writes: Sequence[torch.Tensor],
    ) -> None:
        self._run_kernels()
        touched = _BytesTouched()
        with touched:
            work()
        seconds = touched.total / self._model.memory_bandwidth
        self._start(Queue.COMPUTE)
        self.clocks[Queue.COMPUTE] += seconds
        state_bytes = sum(piece.numel() for piece in reads) if self._waited else 0
        self.updates.append(Update(self._kernels, seconds, state_bytes))
        self._kernels, self._waited = 0.0, False

    def record(self, queue: Queue) -> float:
        if queue is Queue.COMPUTE:
            self._run_kernels()
        return max(self.clocks[queue], self.clocks[Queue.HOST])

    def wait(self, queue: Queue, event: float | None, why: Wait) -> None:
        if event is None:
            return
        if queue is Queue.COMPUTE:
            self._run_kernels()
            self._waited |= why is Wait.ARRIVED
        self.clocks[queue] = max(self.clocks[queue], event)

    def catch_up(self) -> None:
        self._run_kernels()

    def _copy(self, queue: Queue, piece: torch.Tensor) -> None:
        self._run_kernels()
        self._start(queue)
        self.clocks[queue] += self._model.copy_seconds + piece.numel() / self._model.bandwidth

    def _run_kernels(self) -> None:
        """The model's kernels since the last call take their time."""
        flops = self._flops()
        seconds = (flops - self._flops_before) / self._model.flops_per_second
        self._flops_before = flops
        self._kernels += seconds
        self.clocks[Queue.COMPUTE] += seconds

    def _start(self, queue: Queue) -> None:
        """Nothing begins before this process has asked for it."""
        self.clocks[queue] = max(self.clocks[queue], self.clocks[Queue.HOST])


class _BytesTouched(TorchDispatchMode):
    """Bytes that kernels read and write: every tensor they take or give, twice if their schema says
    that they may change it (AdamW's, that it may change the gradient)."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        is_view = any(r.alias_info and not r.alias_info.is_write for r in func._schema.returns)
        if is_view or func.namespace != "aten":  # questions to a tensor are asked through `prim`
            return result
        for argument, value in zip(func._schema.arguments, args, strict=False):
            written = argument.alias_info is not None and argument.alias_info.is_write
            self.total += (2 if written else 1) * _num_bytes(value)
        if not any(r.alias_info for r in func._schema.returns):
            self.total += _num_bytes(result)
        return result


def _num_bytes(value: Any) -> int:
    if isinstance(value, torch.Tensor):
        return value.numel() * value.itemsize
    return sum(map(_num_bytes, value)) if isinstance(value, list | tuple) else 0


PIECES = 1000
"""Of staging memory, in `least_exposed`: more do not change its first three digits."""


def least_exposed(updates: Sequence[Update], staging_bytes: int, bandwidth: float) -> float:
    """Seconds that no schedule can hide, of a step in which every update's state comes in and out.

    State comes in, in the order of the updates, while there is room for it; it takes room until it
    has been written back. Each update needs its bytes and holds up the kernels that follow. It is
    granted that staging is full when the first update begins, and that bytes move in pieces as
    small as one wants, at no cost of their own.
    """
    piece = staging_bytes / PIECES
    seconds = piece / bandwidth
    arrived = [0.0] * PIECES
    written: list[float] = []
    now = exposed = 0.0
    number = 0
    for update in updates:
        now += update.kernels_before
        num_pieces = round(update.state_bytes / piece)
        now += 0.0 if num_pieces else update.seconds
        for _ in range(num_pieces):
            if number >= PIECES:
                arrived.append(max(arrived[-1], written[number - PIECES]) + seconds)
            exposed += max(0.0, arrived[number] - now)
            now = max(now, arrived[number]) + update.seconds / num_pieces
            written.append(max(written[-1] if written else 0.0, now) + seconds)
            number += 1
    return exposed
