"""What `lwft-bench selftest` checks of the transfer engine, on a device that is there."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import torch

from lwft_bench.dry_run.fake_cell import fake_cell
from lwft_bench.dry_run.planned_selections import PlannedSelections
from lwft_bench.dry_run.steps import BatchShape
from lwft_bench.memory.meters import synchronised_clock
from lwft_bench.planning.budget import WORKSPACE_BYTES
from lwft_bench.planning.verification import as_planned, measured_peak
from lwft_bench.schema.result import Check
from lwft_bench.selftest.delays import DelayedEngine, SerialEngine
from lwft_bench.selftest.steps import Shape, StateOnDevice, Steps
from lwft_bench.state.engine import Engine, Queue
from lwft_bench.state.precision import PRECISIONS
from lwft_bench.state.simulated import SimulatedEngine
from lwft_bench.strategies.base import Needs

_CPU = torch.device("cpu")
STEPS = 200
STEPS_WITHOUT_QUEUES = 40
"""On the CPU, where nothing can be overtaken."""
SMALL = Shape()
MEMORY = Shape(hidden=512, vocabulary=4096, rows=4, length=256, bucket_bytes=2**20)
LARGE = Shape(hidden=2048, vocabulary=32000, rows=4, length=512, bucket_bytes=16 * 2**20)
NUM_SCHEDULES = 20


def checks(device: str) -> Iterator[Check]:
    """One after another, each as soon as it is known. device: `cpu`, `simulated` or an accelerator."""
    if device == "simulated":
        yield from _schedules()
        return
    found = torch.device(device)
    for precision in PRECISIONS:
        yield _placement(found, precision)
    if found.type == "cpu":
        yield _memory(found)
        return
    for queue in (Queue.IN, Queue.OUT, Queue.COMPUTE):
        yield _delay(found, queue)
    yield _memory(found)
    yield _overlap(found)


def _trained(
    device: torch.device,
    state_on_device: StateOnDevice,
    precision: str,
    engine: Engine | None = None,
    steps: int | None = None,
    update: str = "in_backward",
) -> Steps:
    cell = SMALL.cell(state_on_device, precision=precision, update=update)
    trained = Steps(cell, SMALL, device, engine)
    trained.run(steps or _num_steps(device))
    return trained


def _num_steps(device: torch.device) -> int:
    return STEPS_WITHOUT_QUEUES if device.type == "cpu" else STEPS


def _placement(device: torch.device, precision: str) -> Check:
    """Where state lives does not change a bit."""
    resident = _trained(device, "all", precision)
    budget = resident.assembly.store.device_bytes // 2
    wrong = {
        str(place): resident.differences(_trained(device, place, precision))
        for place in ("none", budget)
    }
    detail = f"{_num_steps(device)} steps; tensors that differ from resident state: " + ", ".join(
        f"{count} with state_on_device {place}" for place, count in wrong.items()
    )
    return Check(name=f"placement-{precision}", passed=not any(wrong.values()), detail=detail)


def _delay(device: torch.device, queue: Queue) -> Check:
    resident = _trained(device, "all", "bf16")
    offloaded = _trained(device, "none", "bf16", DelayedEngine(device, queue))
    count = resident.differences(offloaded)
    detail = f"{STEPS} steps with a kernel before everything on queue {queue}: {count} differ"
    return Check(name=f"delayed-{queue}", passed=count == 0, detail=detail)


def _schedules() -> Iterator[Check]:
    for precision in PRECISIONS:
        expected = _trained(_CPU, "none", precision, steps=24)
        engines = [SimulatedEngine(seed) for seed in range(NUM_SCHEDULES)]
        wrong = [
            number
            for number, engine in enumerate(engines)
            if expected.differences(_trained(_CPU, "none", precision, engine, steps=24))
        ]
        moved = min(engine.bytes_in for engine in engines)
        detail = (
            f"{NUM_SCHEDULES} hostile schedules of 24 steps, each {moved:,} B or more copied in"
        )
        if wrong:
            detail += f"; weights or state differ with {wrong}"
        passed = not wrong and moved > 0
        yield Check(name=f"schedules-{precision}", passed=passed, detail=detail)


def _memory(device: torch.device) -> Check:
    """The plan, against real steps: counted storage by storage on the CPU, else by the allocator."""
    on_cpu = device.type == "cpu"
    shape = SMALL if on_cpu else MEMORY
    cell = shape.cell("none", precision="bf16", update="in_backward")
    batch = BatchShape(shape.rows, shape.length, shape.rows * (shape.length - 1))
    pairs = tuple((unit, unit + 1) for unit in range(shape.layers - 1))
    drawn = PlannedSelections(
        pairs, typical=pairs, visited=tuple(range(shape.layers)), needs=Needs()
    )
    with fake_cell(cell, [batch]) as fake:
        fake.follow(drawn)
        report = fake.account.report()
    planned = report.peak_bytes if on_cpu else report.rounded_peak_bytes
    measured = measured_peak(cell, [batch], drawn, device)
    found = measured.allocated
    if on_cpu:
        detail = f"planned {planned:,} B, accounted in a real run {found:,} B"
    else:
        detail = (
            f"planned {planned:,} B, allocated {found:,} B: {found / planned - 1:+.1%}; "
            f"up to {WORKSPACE_BYTES >> 20} MiB are allowed for libraries"
        )
    return Check(name="planned-memory", passed=as_planned(planned, measured, device), detail=detail)


def _overlap(device: torch.device) -> Check:
    """Step times side by side, taken in turns; the check is that overlapping is no slower."""
    kinds: dict[str, tuple[StateOnDevice, Engine | None]] = {
        "resident": ("all", None),
        "offloaded": ("none", None),
        "without overlap": ("none", SerialEngine(device)),
    }
    runs = {}
    for name, (place, engine) in kinds.items():
        cell = LARGE.cell(place, precision="bf16", update="in_backward")
        runs[name] = Steps(cell, LARGE, device, engine)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for steps in runs.values():
        steps.run(10, period=1000)  # memory is allocated and kernels are chosen
    for _ in range(5):
        for name, steps in runs.items():
            start = synchronised_clock(device)
            steps.run(4, period=1000)
            seconds[name].append((synchronised_clock(device) - start) / 4)
    median = {name: statistics.median(times) for name, times in seconds.items()}
    exposed = median["offloaded"] - median["resident"]
    serial = median["without overlap"] - median["resident"]
    detail = ", ".join(f"{name} {value * 1e3:.2f} ms" for name, value in median.items())
    detail += (
        f" a step (medians of 5); of {serial * 1e3:.2f} ms, {exposed * 1e3:.2f} ms stay exposed"
    )
    return Check(name="overlap", passed=exposed <= 1.05 * serial, detail=detail)
