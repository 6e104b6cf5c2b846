"""Device memory counted storage by storage, on real and on fake tensors alike."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from lwft_bench.memory.flops import FlopCount, in_backward_pass
from lwft_bench.memory.in_place import in_place_unwatched, references_of_sole_owner
from lwft_bench.memory.modes import UncompiledMode

HOST = "host"
"""Component of storages that stand for host memory: counted apart, never as device memory."""

ELSEWHERE = "elsewhere"
"""Component of storages that are nowhere: other storages stand for what of them a process holds."""

BLOCK_BYTES = 512
"""Granularity of the CUDA caching allocator (kMinBlockSize in CUDACachingAllocator.cpp)."""


Caller = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""Runs an operation with its arguments."""

_UNCOUNTED = frozenset((HOST, ELSEWHERE))
_WITH_FORWARD = (("forward",), ("probe",))
"""Phases in which a forward pass keeps what it makes, that of an autograd.Function too, which records no
gradient itself."""


def rounded(nbytes: int) -> int:
    """Bytes of the allocator's block that holds `nbytes`."""
    return -(-nbytes // BLOCK_BYTES) * BLOCK_BYTES


def _call(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return func(*args, **kwargs)


@dataclass(frozen=True)
class MemoryReport:
    """What a `MemoryAccount` saw, all in bytes."""

    peak_bytes: int
    rounded_peak_bytes: int
    """The peak with every storage rounded up to the allocator's blocks."""
    components: dict[str, int]
    """By component at the instant of the peak; they add up to `peak_bytes`."""
    component_peaks: dict[str, int]
    """Each component's own peak, whenever it was."""
    phases: dict[str, int]
    """Peak by phase; a phase inside another is `outer/inner` and counts in `outer` too."""
    host_peak_bytes: int
    """Peak of the storages that stand for host memory."""


class _StorageRef(weakref.ref[torch.UntypedStorage]):
    """A storage that is counted, without keeping it alive."""

    __slots__ = ("component", "key", "nbytes", "seen")

    key: int
    component: str
    nbytes: int
    seen: int
    """How many sizes the account had taken when it took this one."""


class MemoryAccount(UncompiledMode):
    """Counts every storage from the operation that returns it until it dies.

    A storage is one allocation, however many tensors view it. torch keeps one Python object per
    storage for as long as the storage lives, whoever owns it (a variable, the autograd graph, a
    `.grad`), so a weak reference's callback tells the instant of the free; nothing waits for the
    garbage collector and nothing is kept alive.

    Enter it innermost, inside a FakeTensorMode if there is one. Storages that exist already are
    unknown until `adopt` or `exclude` names them or an operation returns them (a view, an in-place
    update). Frees are seen after leaving it as well.

    A storage carries the label of the innermost `component` it was first seen in. Without one it is
    `activations` in a phase called "forward" or "probe" outside backward passes, and wherever gradients
    are recorded (which is how the recomputation of a checkpointed layer looks inside a backward pass),
    and `rest` elsewhere. A
    gradient is `rest` from the kernel that made it until its hook relabels it.

    The figures are those of a step that nobody watches: what torch does out of place only because a
    dispatch mode is on counts as if it were in place (see `in_place_unwatched`).

    Not seen: what a kernel allocates and frees inside one operation; what is not a tensor to the
    dispatcher (the random state that checkpointing keeps, numbers saved for the backward pass: both
    on the host); `UntypedStorage.resize_` until the next operation that returns the storage.
    """

    def __init__(self, counter: FlopCount | None = None, call: Caller = _call) -> None:
        """counter: is told of every operation. call: runs one, as `RepeatingFakeMode.call` does inside
        that mode.
        """
        super().__init__()
        self._counter = counter
        self._call = call
        self.peak_bytes = 0
        self.rounded_peak_bytes = 0
        self.host_peak_bytes = 0
        self.components_at_peak: dict[str, int] = {}
        self.component_peaks: dict[str, int] = {}
        self.phase_peaks: dict[str, int] = {}
        """Of the phases that have ended."""
        self._live: dict[str, int] = {}
        self._live_bytes = 0
        self._rounded_bytes = 0
        self._storages: dict[int, _StorageRef] = {}
        self._num_seen = 0
        self._seen_at_peak = 0
        self._component: str | None = None
        self._phases: tuple[str, ...] = ()
        self._phase_peak = 0
        self._sole_owner = references_of_sole_owner()
        self._on_free: Callable[[Any], None] = self._free
        self.after_operation: Callable[[], None] | None = None
        """Called after each operation, its result counted."""

    @property
    def live(self) -> dict[str, int]:
        """Bytes by component now, those on the host left out."""
        return {name: n for name, n in self._live.items() if n and name not in _UNCOUNTED}

    @property
    def live_bytes(self) -> int:
        """Bytes on the device now."""
        return self._live_bytes

    @property
    def state(self) -> tuple[tuple[str, ...], dict[str, int]]:
        """Phases that it is in, from the outermost; bytes by component now, and rounded in all."""
        return self._phases, {"": self._rounded_bytes} | self._live

    def adopt(self, tensors: Iterable[torch.Tensor], component: str) -> None:
        """Counts the tensors' storages as `component` from now on, known before or not."""
        for tensor in tensors:
            self._see(tensor, component)
            self.relabel(tensor, component)

    def exclude(self, tensors: Iterable[torch.Tensor]) -> None:
        """Counts the tensors' storages as host memory from now on (offloaded state, its slabs)."""
        self.adopt(tensors, HOST)

    def relabel(self, tensor: torch.Tensor, component: str) -> None:
        """Moves the bytes of a storage that is counted already to another component.

        If it was alive at the peak, they move in `components_at_peak` too: a gradient is one there,
        though at the peak its hook had not run.
        """
        ref = self._storages[id(tensor.untyped_storage())]
        before = ref.component
        if component == before:
            return
        if ref.seen <= self._seen_at_peak and _UNCOUNTED.isdisjoint((before, component)):
            at_peak = self.components_at_peak
            at_peak[before] -= ref.nbytes
            at_peak[component] = at_peak.get(component, 0) + ref.nbytes
        self._count(before, -ref.nbytes, -rounded(ref.nbytes))
        ref.component = component
        self._count(component, ref.nbytes, rounded(ref.nbytes))

    @contextmanager
    def component(self, name: str) -> Iterator[None]:
        """Labels the storages first seen inside; `HOST` for what stands for host memory."""
        outer, self._component = self._component, name
        try:
            yield
        finally:
            self._component = outer

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Gives what happens inside a peak of its own, which starts from what is live on entry."""
        outer, outer_peak = self._phases, self._phase_peak
        self._phases, self._phase_peak = (*outer, name), self._live_bytes
        try:
            yield
        finally:
            path, peak = "/".join(self._phases), self._phase_peak
            self.phase_peaks[path] = max(peak, self.phase_peaks.get(path, 0))
            self._phases, self._phase_peak = outer, max(outer_peak, peak)

    def report(self) -> MemoryReport:
        """The peaks so far; call it outside all phases."""
        return MemoryReport(
            peak_bytes=self.peak_bytes,
            rounded_peak_bytes=self.rounded_peak_bytes,
            components={name: n for name, n in self.components_at_peak.items() if n},
            component_peaks=dict(self.component_peaks),
            phases=dict(self.phase_peaks),
            host_peak_bytes=self.host_peak_bytes,
        )

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is torch.ops.prim.device.default:
            return args[0].device  # torch asks half of the time, and makes nothing
        kwargs = kwargs or {}
        reuses = in_place_unwatched(func, args, self._sole_owner)
        result = self._call(func, args, kwargs)
        # Counted out before the result is counted in: the two are one where nobody watches.
        if reuses and (ref := self._storages.get(id(args[0].untyped_storage()))) is not None:
            self._free(ref)
        self._see_all(result)
        if self._counter is not None:
            self._counter.count(func, args, kwargs, result)
        if self.after_operation is not None:
            self.after_operation()
        return result

    def _see_all(self, result: Any) -> None:
        if isinstance(result, torch.Tensor):
            self._see(result, self._component)
        elif isinstance(result, (tuple, list)):
            for item in result:
                self._see_all(item)

    def _see(self, tensor: torch.Tensor, component: str | None) -> None:
        storage = tensor.untyped_storage()
        nbytes = storage.nbytes()
        ref = self._storages.get(id(storage))
        if ref is None:
            ref = _StorageRef(storage, self._on_free)
            ref.key = id(storage)
            ref.component = component or self._default_component()
            ref.nbytes = 0
            self._storages[ref.key] = ref
        elif nbytes == ref.nbytes:
            return
        old, ref.nbytes = ref.nbytes, nbytes
        self._num_seen += 1
        ref.seen = self._num_seen
        self._count(ref.component, nbytes - old, rounded(nbytes) - rounded(old))

    def _free(self, ref: _StorageRef) -> None:
        del self._storages[ref.key]
        self._count(ref.component, -ref.nbytes, -rounded(ref.nbytes))

    def _default_component(self) -> str:
        forward = self._phases[-1:] in _WITH_FORWARD and not in_backward_pass()
        return "activations" if forward or torch.is_grad_enabled() else "rest"

    def _count(self, component: str, nbytes: int, block_bytes: int) -> None:
        live = self._live[component] = self._live.get(component, 0) + nbytes
        if component == HOST:
            self.host_peak_bytes = max(self.host_peak_bytes, live)
        if component in _UNCOUNTED:
            return
        self._live_bytes += nbytes
        self._rounded_bytes += block_bytes
        if nbytes <= 0:
            return
        self.component_peaks[component] = max(live, self.component_peaks.get(component, 0))
        self.rounded_peak_bytes = max(self._rounded_bytes, self.rounded_peak_bytes)
        self._phase_peak = max(self._live_bytes, self._phase_peak)
        if self._live_bytes > self.peak_bytes:
            self.peak_bytes = self._live_bytes
            self.components_at_peak = self.live
            self._seen_at_peak = self._num_seen
