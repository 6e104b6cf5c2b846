"""Sees what else the machine does while something is timed."""

from __future__ import annotations

import os
import resource
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lwft_bench.schema.load import Load

if TYPE_CHECKING:
    import torch

_CLOCKS = {
    0x004: "software power cap",
    0x008: "hardware slowdown",
    0x010: "synchronised boost",
    0x020: "software thermal",
    0x040: "hardware thermal",
    0x080: "hardware power brake",
}
_TASKS = Path("/proc/self/task")


class LoadMeter:
    """Compares what the kernel and the device say at the beginning and at the end."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._handle = nvml_handle(device)
        self._others = 0
        self._clocks: dict[str, None] = {}
        self.look()
        self._usage = resource.getrusage(resource.RUSAGE_SELF)
        self._waited = _waiting_seconds()
        self._started = time.perf_counter()

    def look(self) -> None:
        """Asks the device who else is there and why its clocks are as they are, once more."""
        if self._handle is None:
            return
        import pynvml

        with suppress(pynvml.NVMLError):
            processes = pynvml.nvmlDeviceGetComputeRunningProcesses(self._handle)
            # In a container the ids are the host's: this process is one of them, whichever.
            self._others = max(self._others, len(processes) - 1)
        with suppress(pynvml.NVMLError):
            mask = pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(self._handle)
            self._clocks |= {name: None for bit, name in _CLOCKS.items() if mask & bit}

    def read(self) -> Load:
        """The load since the meter was made."""
        self.look()
        wall = time.perf_counter() - self._started
        usage, waited = resource.getrusage(resource.RUSAGE_SELF), _waiting_seconds()
        processor = usage.ru_utime + usage.ru_stime - self._usage.ru_utime - self._usage.ru_stime
        waiting = None
        if waited is not None and self._waited is not None:
            waiting = max(0.0, waited - self._waited)
        return Load(
            wall_seconds=wall,
            processor_seconds=processor,
            waiting_seconds=waiting,
            involuntary_switches=usage.ru_nivcsw - self._usage.ru_nivcsw,
            load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
            cores=num_cores(),
            device_processes=None if self._handle is None else self._others,
            clocks=tuple(self._clocks),
            on_cpu=self._device.type == "cpu",
        )


def nvml_handle(device: torch.device) -> Any | None:
    """NVML's handle of a CUDA device; None where there is none."""
    if device.type != "cuda":
        return None
    import pynvml
    import torch

    try:
        pynvml.nvmlInit()
        uuid = torch.cuda.get_device_properties(device).uuid
        return pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
    except pynvml.NVMLError:
        return None


def _waiting_seconds() -> float | None:
    """In which this process's threads could have run and did not, since they began; of those that
    still are.
    """
    total = 0
    try:
        for task in _TASKS.iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                total += int((task / "schedstat").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return total / 1e9


def num_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
