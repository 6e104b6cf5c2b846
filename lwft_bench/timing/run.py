"""Times the methods of one model and task against each other, in this process."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from lwft_bench.cell.provenance import accelerator, cpu
from lwft_bench.memory.load import LoadMeter
from lwft_bench.plugins.files import load_plugin
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.events import Emit, Progressed
from lwft_bench.schema.timing import TimedSet, TimingRow
from lwft_bench.timing.job import TimingJob
from lwft_bench.timing.method import MethodSteps, TimedStep
from lwft_bench.timing.turns import there_and_back

TRAINING_SHARE = 4
"""Weights, gradients and two moments: what a method needs at most, in sizes of its model."""


def time_methods(job: TimingJob, emit: Emit) -> tuple[TimedSet, list[TimingRow]]:
    """Times them by turns, each on a model of its own.

    Raises:
        UserError: A cell's model or data cannot be read, or the models do not fit beside each other.
    """
    for plugin in dict.fromkeys(plugin for cell in job.cells for plugin in cell.plugins):
        load_plugin(plugin)
    pairs, steps = job.timing.pairs, job.timing.steps
    total = len(job.cells) * (pairs + 1)
    methods: list[MethodSteps] = []
    for number, cell in enumerate(job.cells):
        _require_room(methods, len(job.cells) - number)
        method = MethodSteps(cell, job.recorded.get(cell.id, ()), pairs, steps)
        method.warm_up()
        methods.append(method)
        emit(Progressed(len(methods), total))
    device = methods[0].device
    meter = LoadMeter(device)
    rows = []
    for pair in range(pairs):
        for turn, method in enumerate(there_and_back(methods, pair)):
            rows += [method.timed(TimedStep(pair, turn, step)) for step in range(steps)]
            emit(Progressed((pair + 1) * len(methods) + turn + 1, total))
        meter.look()
    first = job.cells[0]
    timed = TimedSet(
        model=first.model.name,
        task=first.task.name,
        cells=tuple(job.timed_cell(method.cell, method.selections) for method in methods),
        device=(accelerator() if device.type != "cpu" else None) or cpu(),
        threads=torch.get_num_threads(),
        load=meter.read(),
    )
    return timed, rows


def _require_room(methods: Sequence[MethodSteps], num_left: int) -> None:
    """Whether as many more models are likely to fit beside the first.

    Raises:
        UserError: They are not.
    """
    if not methods:
        return
    first = methods[0]
    needed, free = TRAINING_SHARE * num_left * first.num_bytes, _free_bytes(first.device)
    if needed > free:
        raise UserError(
            f"the methods' models do not fit beside each other: {num_left} more may need "
            f"{needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free",
            "time fewer methods at once: `lwft-bench time SUITE --methods A,B`",
        )


def _free_bytes(device: torch.device) -> float:
    """Infinity where nobody tells."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu" or not Path("/proc/meminfo").exists():
        return math.inf
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    (available,) = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return int(available) * 1024
