"""Suites of cells that only pretend to train, to see how cells of every fate are dealt with.

Run as a program, it runs such a suite: `python fake_cells.py OUT WORKERS STEP_SECONDS FATE...`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

from lwft_bench.cell.outcomes import new_result
from lwft_bench.cell.provenance import now, provenance
from lwft_bench.execution.devices import Visible
from lwft_bench.execution.options import RunOptions
from lwft_bench.execution.runner import run_suite
from lwft_bench.results.atomic import publish_folder
from lwft_bench.results.reading import read_cell_record
from lwft_bench.results.store import RunStore, write_result
from lwft_bench.schema.cell import Cell, EvaluationConfig, ModelConfig, TaskConfig, TrainingConfig
from lwft_bench.schema.events import Emit, PhaseBegan, StepsDone
from lwft_bench.schema.findings import Findings
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.result import CellResult, Training
from lwft_bench.schema.suite import Published
from lwft_bench.schema.timing import TimingConfig
from lwft_bench.suites.tuning import Tuning
from lwft_bench.training.errors import Diverged, Interrupted

STEPS = 8
FATAL_STEP = 4
CHECKPOINT_EVERY = 2


@dataclass
class FakeSuite:
    """One cell for each fate, named after it."""

    fates: tuple[str, ...]
    step_seconds: float = 0.0
    name: str = "fake"
    title: str = ""
    description: str = ""
    baseline: str | None = None
    published: Published | None = None
    tables: dict[str, Any] = field(default_factory=dict)
    claims: tuple[Any, ...] = ()
    timing: ClassVar[TimingConfig] = TimingConfig(pairs=0)
    source_text: str = "name: fake\n"
    strategy_digest: str = "s1"
    training: dict[str, Any] = field(default_factory=dict)
    tunings: tuple[Tuning, ...] = ()

    @property
    def cells(self) -> list[Cell]:
        return [self._cell(fate) for fate in self.fates]

    @property
    def all_cells(self) -> list[Cell]:
        return [*self.cells, *(cell for tuning in self.tunings for cell in tuning.cells)]

    def identity(self, cell: Cell) -> SimpleNamespace:
        components = {"config": "c1", "strategy": self.strategy_digest}
        digest = hashlib.sha256(json.dumps(components).encode()).hexdigest()
        return SimpleNamespace(components=components, digest=digest)

    def readable(self, cells: Iterable[Cell], findings: Findings) -> list[Cell]:
        return list(cells)

    def placed(self, text: str) -> str:
        return text

    def keeps_weights(self, cell: Cell) -> bool:
        return False

    def _cell(self, fate: str) -> Cell:
        return Cell(
            id=f"tiny--{fate}--task--seed0",
            model=ModelConfig(name="tiny", path="embedded"),
            method=MethodConfig(name=fate, title=fate, citation="none"),
            task=TaskConfig(name="task", data="none", train_examples=1, benchmarks=("none",)),
            training=TrainingConfig(
                steps=STEPS, device="cpu", checkpoint_every=CHECKPOINT_EVERY, **self.training
            ),
            evaluation=EvaluationConfig(),
            seed=0,
            ablation={"step_seconds": self.step_seconds},
        )


def run_cell(
    cell: Cell,
    folder: Path,
    emit: Emit,
    should_stop: Callable[[], bool],
    *,
    save: bool,
    ranks: object = None,
    reuse: bool,
) -> None:
    """A chain of digests stands for the weights, so that a lost or repeated step shows."""
    started, began = now(), time.monotonic()
    fate = cell.method.name
    with (folder / "starts").open("a") as file:
        file.write(f"{os.getpid()}\n")
    first_time = len((folder / "starts").read_text().splitlines()) == 1
    print("output of the cell")
    step, weights = _load(folder)
    emit(PhaseBegan("train"))
    while step < cell.training.steps:
        step += 1
        weights = hashlib.sha256(f"{weights} {step}".encode()).hexdigest()
        time.sleep(cell.ablation["step_seconds"])
        emit(StepsDone(step, cell.training.steps, 1.0 / step, 100.0))
        if step % cell.training.checkpoint_every == 0:
            _save(folder, step, weights)
        if step >= FATAL_STEP and (first_time or not fate.endswith("-once")):
            FATES.get(fate.removesuffix("-once"), lambda: None)()
            _fail_with_device(folder.parents[1])
        if should_stop() and fate != "deaf":
            _save(folder, step, weights)
            raise Interrupted
    emit(PhaseBegan("evaluate"))
    place: dict[str, object] = {"from": began, "to": time.monotonic(), "reuse": reuse}
    place["threads"] = os.environ.get("OMP_NUM_THREADS")
    result = new_result(
        cell,
        read_cell_record(folder),
        "done",
        confounds=place | {"device": os.environ.get("CUDA_VISIBLE_DEVICES")},
        average=None if cell.trial else 0.5,
        training=_training(cell) if cell.trial else None,
        weights_digest=weights,
        provenance=provenance(started),
    )
    write_result(folder, result)
    with (folder.parents[1] / "ends").open("a") as file:
        file.write(f"{cell.id}\n")


def four_devices(_: object) -> Visible:
    """What a machine with four devices has, of which the user may use other numbers than 0 to 3."""
    return Visible("cuda", ("4", "5", "6", "7"))


def needs(cells: tuple[Cell, ...]) -> dict[str, int]:
    """What their fates say, such as `needs40`."""
    found = {cell.id: re.fullmatch("needs([0-9]+).*", cell.method.name) for cell in cells}
    return {cell_id: int(match[1]) for cell_id, match in found.items() if match}


def _fail_with_device(run: Path) -> None:
    """A file in the run's directory says which device is broken."""
    broken = run / "broken"
    if broken.exists() and os.environ["CUDA_VISIBLE_DEVICES"] in broken.read_text().split():
        raise RuntimeError("CUDA error: uncorrectable ECC error encountered")


def validation_loss(lr: float) -> float:
    """What a trial ends with: best at 2.2."""
    return abs(lr - 2.2)


def _training(cell: Cell) -> Training:
    return Training(
        optimizer_steps=cell.training.steps,
        probing_steps=0,
        target_tokens=1,
        tokens=1,
        flops=1,
        trained_parameters=1,
        active_parameters_mean=1.0,
        total_parameters=1,
        first_loss=1.0,
        final_loss=1.0,
        validation_loss_after=validation_loss(cell.training.lr),
    )


def _save(folder: Path, step: int, weights: str) -> None:
    target = folder / f"checkpoint-{step:06d}"
    if target.exists():
        return
    partial = folder / f".checkpoint-{os.getpid()}"
    partial.mkdir()
    (partial / "state.json").write_text(json.dumps([step, weights]))
    publish_folder(partial, target)


def _load(folder: Path) -> tuple[int, str]:
    found = sorted(folder.glob("checkpoint-*"))
    if not found:
        return 0, ""
    step, weights = json.loads((found[-1] / "state.json").read_text())
    return step, weights


def _raise(error: Exception) -> None:
    raise error


FATES: dict[str, Callable[[], object]] = {
    "exit": lambda: os._exit(7),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "terminated": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "memory": lambda: _raise(MemoryError("no room")),
    "diverged": lambda: _raise(Diverged("the loss is nan at step 4")),
    "raises": lambda: _raise(KeyError("[red]no\nsuch key")),
    "hang": lambda: time.sleep(1000),
    "full": lambda: _raise(OSError(errno.ENOSPC, "No space left on device", "checkpoint")),
    "ecc": lambda: _raise(RuntimeError("CUDA error: uncorrectable ECC error encountered")),
    "thread": lambda: threading.Thread(target=time.sleep, args=(1000,)).start(),
    "busy": lambda: re.match("(a+)+$", "a" * 60 + "b"),  # in C, and never lets go of the GIL
}


def write_report(out: Path) -> str:
    """Stands in for the report, which takes seconds to import."""
    (out / "report.md").write_text("report")
    return "the table"


def run(
    suite: FakeSuite,
    out: Path,
    *,
    run_cell: str = "fake_cells:run_cell",
    check: str = "",
    report: Callable[[Path], str] | None = write_report,
    **options: Any,
) -> int:
    """Run a fake suite in cells' processes that inherit few imports, so that it is quick."""
    preload = ("lwft_bench.execution.worker", *os.environ.get("FAKE_PRELOAD", "").split())
    options = {"timing": False} | options
    chosen = RunOptions(run_cell=run_cell, check=check, preload=preload, **options)
    return run_suite(suite, out, chosen, report=report)


def results(out: Path) -> dict[str, CellResult]:
    """Results by fate."""
    return {result.method: result for result in RunStore(out).results()}


def undisturbed_weights() -> str:
    """What every cell that is done ends with."""
    weights = ""
    for step in range(1, STEPS + 1):
        weights = hashlib.sha256(f"{weights} {step}".encode()).hexdigest()
    return weights


if __name__ == "__main__":
    out, workers, step_seconds, *fates = sys.argv[1:]
    suite = FakeSuite(tuple(fates), step_seconds=float(step_seconds))
    stop_seconds = 2.0 if "hang" in fates else 60.0
    sys.exit(run(suite, Path(out), workers=int(workers), stop_seconds=stop_seconds))
