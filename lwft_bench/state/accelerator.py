"""The transfer engine on an accelerator: streams and events. All that is not device-neutral is here.

Written from torch's documentation; nobody has seen it run on the machines it was written on.
`lwft-bench selftest` runs it on yours. References are to torch's notes on CUDA semantics ("CUDA
streams", "Use pinned memory buffers") and to the pages of torch.Stream, torch.Event and
torch.accelerator, whose calls are the same for CUDA, ROCm and XPU. `with stream:` is in torch from 2.7
on; entering one twice, nested, is an error (pytorch/pytorch#176560), and nothing here does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from lwft_bench.state.engine import Queue, QueueEvent, Wait


class AcceleratorEngine:
    """`in` and `out` are streams of their own, `compute` is the stream that is current here.

    Two streams for the copies, because a device has one copy unit for each direction, and copies on
    one stream would take turns.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        # The model's kernels run on the stream that is current when it is built and trained; updates
        # must be on that stream too, or the next forward pass could see half an update.
        self._streams = {
            Queue.IN: torch.Stream(device),
            Queue.OUT: torch.Stream(device),
            Queue.COMPUTE: torch.accelerator.current_stream(device),
        }

    def allocate_host(self, num_bytes: int) -> torch.Tensor:
        # Page-locked from the start: `pin_memory()` on an existing tensor would copy it. Copies from
        # and to pageable memory are not asynchronous, whatever `non_blocking` says. The host
        # allocator rounds to powers of two, so buckets of 32 MiB lose nothing.
        return torch.empty(num_bytes, dtype=torch.uint8, pin_memory=True)

    def allocate_device(self, num_bytes: int) -> torch.Tensor:
        # The caching allocator may hand out a block whose last kernel on this stream has not run yet;
        # that is why other streams must wait (SLOTS_MADE). It knows nothing of other streams' use, so
        # this memory must not be freed while they use it: slots live as long as the run, and
        # `record_stream` is not needed.
        return torch.empty(num_bytes, dtype=torch.uint8, device=self._device)

    def free_host(self, memory: torch.Tensor) -> None:
        # The caller has waited for all copies. Nothing else to do: the tensor's end gives it back.
        pass

    def copy_in(self, device: torch.Tensor, host: torch.Tensor) -> None:
        with self._streams[Queue.IN]:
            device.copy_(host, non_blocking=True)

    def copy_out(self, host: torch.Tensor, device: torch.Tensor) -> None:
        # `non_blocking` to pinned memory returns at once; who reads it on the host must wait first.
        with self._streams[Queue.OUT]:
            host.copy_(device, non_blocking=True)

    def compute(
        self,
        work: Callable[[], None],
        reads: Sequence[torch.Tensor],
        writes: Sequence[torch.Tensor],
    ) -> None:
        # Gradient hooks run on autograd's thread, which makes the forward pass's stream current
        # (notes on CUDA semantics, "Stream semantics of backward passes"): the same one.
        assert torch.accelerator.current_stream(self._device) == self._streams[Queue.COMPUTE]
        work()

    def host_access(self, reads: Sequence[torch.Tensor], writes: Sequence[torch.Tensor]) -> None:
        pass

    def record(self, queue: Queue) -> QueueEvent:
        # A new event each time: an event that is recorded again no longer stands for the old point.
        return self._streams[queue].record_event()

    def wait(self, queue: Queue, event: QueueEvent, why: Wait) -> None:
        if event is None:
            return
        if queue is Queue.HOST:
            event.synchronize()
        else:
            self._streams[queue].wait_event(event)

    def catch_up(self) -> None:
        # One stream: what follows on it comes after.
        pass
