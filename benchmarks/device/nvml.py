"""What the driver says of the first GPU that this process may use."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any


def driver() -> str | None:
    """The driver's version; None where there is no driver, or no package that could ask it."""
    found = _nvml()
    return None if found is None else str(found[0].nvmlSystemGetDriverVersion())


def used_bytes() -> int | None:
    """Memory taken on the device by all processes."""
    found = _nvml()
    return None if found is None else int(found[0].nvmlDeviceGetMemoryInfo(found[1]).used)


def clocks() -> dict[str, Any]:
    """Clocks, heat and power now; what is not told is left out."""
    found = _nvml()
    if found is None:
        return {}
    nvml, handle = found
    questions = {
        "sm_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
        "sm_max_mhz": lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM),
        "memory_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM),
        "celsius": lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
        "watts": lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000,
        "watts_limit": lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000,
        "throttled_by": lambda: hex(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)),
    }
    told = {}
    for name, ask in questions.items():
        try:
            told[name] = ask()
        except (nvml.NVMLError, AttributeError):  # the device's, the package's
            continue
    return told


def _nvml() -> tuple[Any, Any] | None:
    if find_spec("pynvml") is None:
        return None
    import pynvml

    try:
        pynvml.nvmlInit()
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0]
        if visible.startswith(("GPU-", "MIG-")):
            return pynvml, pynvml.nvmlDeviceGetHandleByUUID(visible)
        number = int(visible) if visible.isdecimal() else 0
        return pynvml, pynvml.nvmlDeviceGetHandleByIndex(number)
    except pynvml.NVMLError:
        return None
