"""Cells that several processes pretend to train together, in step."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from fake_cells import _load, _save

from lwft_bench.cell.outcomes import new_result
from lwft_bench.cell.provenance import now, provenance
from lwft_bench.results.reading import read_cell_record
from lwft_bench.results.store import write_result
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.events import Emit, PhaseBegan, StepsDone
from lwft_bench.training.errors import Diverged, Interrupted
from lwft_bench.training.ranks import Ranks

FATAL_STEP = 4


def run_cell(
    cell: Cell,
    folder: Path,
    emit: Emit,
    should_stop: Callable[[], bool],
    *,
    save: bool,
    ranks: Ranks,
    reuse: bool,
) -> None:
    """A fate such as `raises1` is that of the process of this number."""
    fate = cell.method.name
    seen: dict[str, object] = {
        "world": ranks.world,
        "device": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "threads": os.environ["OMP_NUM_THREADS"],
        "parent": os.getppid(),
    }
    step, weights = ranks.broadcast(_load(folder) if ranks.rank == 0 else None)
    resumed = step > 0
    emit(PhaseBegan("train"))
    while step < cell.training.steps:
        step += 1
        weights = hashlib.sha256(f"{weights} {step}".encode()).hexdigest()
        time.sleep(cell.ablation["step_seconds"])
        emit(StepsDone(step, cell.training.steps, 1.0 / step, 100.0))
        stops = ranks.any(should_stop())
        if ranks.rank == 0 and (stops or step % cell.training.checkpoint_every == 0):
            _save(folder, step, weights)
        if stops:
            raise Interrupted
        if step == FATAL_STEP and not resumed:
            _meet(fate, ranks)
    if ranks.rank > 0:
        return
    record = read_cell_record(folder)
    made = {"weights_digest": weights, "provenance": provenance(now())}
    write_result(folder, new_result(cell, record, "done", confounds=seen, average=0.5, **made))


def _meet(fate: str, ranks: Ranks) -> None:
    if fate.startswith("diverges"):
        raise Diverged("the loss is nan at step 4")
    if not fate.endswith(str(ranks.rank)):
        return
    if fate.startswith("raises"):
        raise KeyError(f"of process {ranks.rank}")
    if fate.startswith("killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    if fate.startswith("segfault"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if fate.startswith("exits"):
        os._exit(7)
