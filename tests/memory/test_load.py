import multiprocessing
import os
import time
from types import SimpleNamespace

import pytest

from lwft_bench.memory import load as load_module
from lwft_bench.memory.load import LoadMeter
from lwft_bench.schema.load import Load

CPU = SimpleNamespace(type="cpu")
QUIET = {
    "wall_seconds": 10.0,
    "processor_seconds": 9.9,
    "waiting_seconds": 0.05,
    "involuntary_switches": 3,
    "cores": 2,
}


def spin(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_processor_time_and_waiting_are_those_since_the_meter_was_made() -> None:
    spin(0.05)
    meter = LoadMeter(CPU)
    spin(0.1)
    seen = meter.read()
    assert 0.1 <= seen.processor_seconds < 0.3
    assert seen.wall_seconds >= seen.processor_seconds * 0.9
    assert seen.cores == len(os.sched_getaffinity(0))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="pins processes to one core")
def test_a_process_that_shares_its_core_is_seen_to_wait() -> None:
    cores = os.sched_getaffinity(0)
    core = {min(cores)}
    other = multiprocessing.get_context("fork").Process(target=spin, args=(5.0,))
    os.sched_setaffinity(0, core)
    try:
        other.start()
        meter = LoadMeter(CPU)
        spin(0.3)
        seen = meter.read()
    finally:
        os.sched_setaffinity(0, cores)
        other.kill()
        other.join()
    if seen.waiting_seconds is None:
        pytest.skip("this kernel does not tell how long a process waits")
    assert seen.waiting_share is not None and seen.waiting_share > 0.2
    assert seen.contention and "waited for a processor" in seen.contention[0]


def test_a_kernel_that_does_not_tell_leaves_the_share_of_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(load_module, "_TASKS", load_module.Path("/proc/none"))
    assert LoadMeter(CPU).read().waiting_seconds is None
    half = Load(**(QUIET | {"waiting_seconds": None, "processor_seconds": 5.0}))
    assert half.contention == ("had a processor 50 % of the time",)
    assert Load(**(QUIET | {"waiting_seconds": None})).contention == ()
    on_device = Load(
        **(QUIET | {"waiting_seconds": None, "processor_seconds": 1.0, "on_cpu": False})
    )
    assert on_device.contention == ()


def test_what_counts_as_contention() -> None:
    assert Load(**QUIET).contention == ()
    assert Load(**QUIET, clocks=("software power cap",)).contention == ()
    seen = Load(
        **(QUIET | {"waiting_seconds": 3.3}), device_processes=1, clocks=("hardware thermal",)
    )
    assert seen.contention == (
        "waited for a processor 25 % of the time",
        "shared the device with 1 other processes",
        "the device's clocks were lowered (hardware thermal)",
    )


def test_the_device_s_other_processes_and_clocks_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import pynvml

    alone = [SimpleNamespace(pid=1)]
    seen = iter([alone, [*alone, SimpleNamespace(pid=2)], alone])
    reasons = iter([0x1, 0x4 | 0x40, 0x2])
    monkeypatch.setattr(load_module, "nvml_handle", lambda device: "handle")
    monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", lambda handle: next(seen))
    monkeypatch.setattr(
        pynvml, "nvmlDeviceGetCurrentClocksThrottleReasons", lambda handle: next(reasons)
    )
    meter = LoadMeter(SimpleNamespace(type="cuda"))
    meter.look()
    found = meter.read()
    assert found.device_processes == 1
    assert found.clocks == ("software power cap", "hardware thermal")
