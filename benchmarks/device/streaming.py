"""The stage on streamed optimizer state: copies, bits, exposed time against the modelled timeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from benchmarks.device.cells import TINY, cell, model
from benchmarks.device.setting import Row, Setting, attempt, release
from benchmarks.device.turns import Turns, by_turns, ratio, timed, trainer
from benchmarks.offload.modelled import DeviceModel
from benchmarks.offload.timeline import step_time
from lwft_bench.dry_run.dry_run import dry_run
from lwft_bench.dry_run.steps import BatchShape
from lwft_bench.schema.cell import Cell
from lwft_bench.selftest.steps import Steps
from lwft_bench.state.accelerator import AcceleratorEngine
from lwft_bench.state.engine import Engine, SynchronousEngine
from lwft_bench.strategies.base import Needs

MODES = ("in_backward", "after_backward")
BITS_STEPS = 50


@dataclass(frozen=True, slots=True)
class Size:
    model: str
    rows: int
    length: int
    units: tuple[int, int]
    bucket: int
    turns: int
    steps: int


FULL = Size("llama-2-7b", 4, 512, (10, 20), 16 * 2**20, turns=4, steps=2)
TINY_SIZE = Size("tiny", 2, 16, (1, 2), 4096, turns=2, steps=1)


def run(setting: Setting) -> Iterator[Row]:
    size = TINY_SIZE if setting.rehearse else FULL
    copies = [
        attempt("copies through the engine", what, work) for what, work in _copies(setting, size)
    ]
    yield from copies
    yield from _bits(setting)
    rates = {row["what"]: row.get("bytes_per_second") for row in copies}
    for mode in MODES:
        if setting.left() < 25:
            return
        yield from _exposed(setting, size, mode, rates)
        release(setting.device)


def _copies(setting: Setting, size: Size) -> Iterator[tuple[str, Callable[[], Row]]]:
    device = torch.device(setting.device)
    engine: Engine = (SynchronousEngine if device.type == "cpu" else AcceleratorEngine)(device)
    hosts = [engine.allocate_host(size.bucket) for _ in range(2)]
    slots = [engine.allocate_device(size.bucket) for _ in range(2)]
    other = torch.empty_like(slots[0])

    def both(number: int) -> None:
        for _ in range(number):
            engine.copy_in(slots[0], hosts[0])
            engine.copy_out(hosts[1], slots[1])

    def inwards(number: int) -> None:
        for _ in range(number):
            engine.copy_in(slots[0], hosts[0])

    def outwards(number: int) -> None:
        for _ in range(number):
            engine.copy_out(hosts[1], slots[1])

    def within(number: int) -> None:
        for _ in range(number):
            other.copy_(slots[0])

    def rate(copy: Callable[[int], None], times: int) -> Row:
        copy(3)
        seconds = timed(copy, 4 if setting.rehearse else 200, setting.device)
        return {"bytes_per_second": times * size.bucket / seconds}

    yield "host to device", partial(rate, inwards, 1)
    yield "device to host", partial(rate, outwards, 1)
    yield "both at once, each way", partial(rate, both, 1)
    yield "within the device, read and written", partial(rate, within, 2)


def _bits(setting: Setting) -> Iterator[Row]:
    """Weights and state after steps with streamed state are those of resident state, to the bit."""
    shape = model("tinyllama-1.1b", rehearse=setting.rehearse)
    rows, length = (2, 16) if shape is TINY else (4, 256)
    steps = 8 if setting.rehearse else BITS_STEPS

    def trained(place: str, mode: str) -> Steps:
        one = cell("grass", shape, rows, length, card={"state_on_device": place}, update=mode)
        found = trainer(one, setting.device, (0, 1))
        found.run(steps)
        return found

    def compare(mode: str) -> Row:
        with _repeatable():
            resident = trained("all", mode)
            if again := resident.differences(trained("all", mode)):
                raise RuntimeError(f"two runs with resident state differ, too: in {again} tensors")
            differ = resident.differences(trained("none", mode))
        return {"steps": steps, "tensors_that_differ": differ, "passed": differ == 0}

    for mode in MODES:
        yield attempt(
            "streamed against resident state, bit for bit",
            f"{shape.name}, {mode}",
            partial(compare, mode),
        )
        release(setting.device)


@contextmanager
def _repeatable() -> Iterator[None]:
    """Kernels that add in the same order every time: flash attention's backward pass does not."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def _exposed(setting: Setting, size: Size, mode: str, rates: dict[str, Any]) -> Iterator[Row]:
    """Streamed, half resident and resident state by turns, beside what the timeline says of it."""
    shape = model(size.model, rehearse=setting.rehearse)

    def placed(place: Any) -> Cell:
        card = {"state_on_device": place}
        return cell("grass", shape, size.rows, size.length, card=card, update=mode)

    trained: dict[str, Steps] = {}

    def measure() -> dict[str, Turns]:
        trained["resident"] = trainer(placed("all"), setting.device, size.units)
        trained["resident"].train(1)  # state is made by the first update
        half = trained["resident"].assembly.store.device_bytes // 2
        for name, place in (("half resident", half), ("streamed", "none")):
            trained[name] = trainer(placed(place), setting.device, size.units)
        runs = {name: steps.train for name, steps in trained.items()}
        places.update({"resident": "all", "half resident": half, "streamed": "none"})
        turns.update(by_turns(runs, size.turns, size.steps, setting.device))
        return turns

    places: dict[str, Any] = {}
    turns: dict[str, Turns] = {}
    table = f"a step of {shape.name}, {size.rows} x {size.length}, update {mode}"
    failed = attempt(table, "by turns", lambda: {"turns": len(measure())})
    if "failed" in failed:
        yield failed
        return
    trained.clear()
    device = _device_model(placed("all"), size, rates, turns["resident"].median)
    for name, found in turns.items():
        row: Row = {"measured_seconds": found.median}
        if name != "resident":
            row |= {"measured_exposed_seconds": found.median - turns["resident"].median}
            row |= ratio(found, turns["resident"])
        if device is not None:
            time = step_time(placed(places[name]), _batch(size), size.units, device)
            row |= {
                "modelled_seconds": time.step,
                "modelled_exposed_seconds": time.exposed,
                "least_exposed_seconds": time.least_exposed,
                "moved_bytes": time.transferred_bytes,
            }
        yield {"table": table, "what": name, **row}


def _batch(size: Size) -> list[BatchShape]:
    return [BatchShape(size.rows, size.length, size.rows * (size.length - 1))]


def _device_model(
    resident: Cell, size: Size, rates: dict[str, Any], seconds: float
) -> DeviceModel | None:
    """The rates that were reached here: those of copies, and what resident state leaves."""
    ways = [rates.get("host to device"), rates.get("device to host")]
    within = rates.get("within the device, read and written")
    if not all(ways) or not within:
        return None
    endless = DeviceModel(flops_per_second=1e30, bandwidth=min(ways), memory_bandwidth=within)
    updates = step_time(resident, _batch(size), size.units, endless).step
    flops = max(dry_run(resident, _batch(size), [size.units], Needs()).flops.values())
    reached = flops / max(seconds - updates, 0.1 * seconds)
    return DeviceModel(reached, min(ways), within)
