"""The life of one cell in a process of its own, from the inside.

The process is forked from a server that has imported what cells need and run none of it. It tells
the parent what happens through a connection, stops at SIGTERM with a checkpoint, and dies with the
parent.
"""

from __future__ import annotations

import faulthandler
import fcntl
import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import parent_process, util
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from lwft_bench.cell.outcomes import disk_is_full, one_line, raised
from lwft_bench.cell.provenance import SHARED_DEVICE, accelerator, now
from lwft_bench.execution.devices import Placement, device_is_broken
from lwft_bench.results.store import write_result
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import UserError, described
from lwft_bench.schema.events import DeviceBroken, DiskFull, Emit, Event, PhaseBegan, Stopped
from lwft_bench.schema.result import Phase
from lwft_bench.schema.run import CellRecord
from lwft_bench.training.errors import Diverged, Interrupted
from lwft_bench.training.ranks import RankLost

if TYPE_CHECKING:
    from lwft_bench.timing.job import TimingJob
    from lwft_bench.training.ranks import Ranks


class RunCell(Protocol):
    """What runs a cell: `lwft_bench.cell.run.run_cell`."""

    def __call__(
        self,
        cell: Cell,
        folder: Path,
        emit: Emit,
        should_stop: Callable[[], bool],
        *,
        save: bool,
        ranks: Ranks = ...,
        reuse: bool = ...,
    ) -> None:
        """Go on from the checkpoint in the work folder if there is one; write `result.json` last.

        Once should_stop() is true it writes a checkpoint and raises Interrupted. Over several ranks
        all call it, and the first one alone writes. Without reuse it takes no scores of other cells.
        """


LOG = "cell.log"


@dataclass(frozen=True, slots=True)
class Job:
    """A cell to run in its work folder. `run_cell` is the "module:function" of a RunCell.

    runner: a file that is there while the cell's runner is not taken for dead; None: nobody looks.
    """

    cell: Cell
    record: CellRecord
    folder: Path
    run_cell: str
    save_weights: bool
    runner: Path | None = None
    placement: Placement = field(default_factory=Placement)
    reuse: bool = True


def work(job: Job, connection: Connection) -> None:
    """Run the cell. Errors become its result; only the parent can tell of a death."""
    _die_with_parent()
    _log_to(job.folder / LOG)
    _settle_on(job.placement)
    stop = _stop_at_sigterm()

    def emit(event: Event) -> None:
        if job.runner is not None and not job.runner.exists():
            os._exit(1)  # its runner was taken for dead, and another may run the cell
        try:
            connection.send(event)
        except OSError:  # the parent is dead, and what is left to do is its successor's
            os._exit(1)

    if job.placement.processes > 1:
        from lwft_bench.execution.launching import launch

        _end(connection, launch(job, emit, stop))
    carry_out(job, emit, stop.is_set)
    _end(connection)


def carry_out(
    job: Job, tell: Emit, should_stop: Callable[[], bool], ranks: Ranks | None = None
) -> None:
    """Run the cell, in a process that is its own or one of its own. Errors become its result.

    Raises:
        RankLost: Another process has ended, and says why itself.
    """
    started = now()
    phase: Phase = "load"
    follows = ranks is not None and ranks.rank > 0
    options: dict[str, Any] = {"save": job.save_weights, "reuse": job.reuse}
    if ranks is not None:
        options["ranks"] = ranks

    def emit(event: Event) -> None:
        nonlocal phase
        if isinstance(event, PhaseBegan):
            phase = event.phase
        if not follows:
            tell(event)

    emit(PhaseBegan(phase))
    try:
        set_threads(max(1, job.record.threads // (ranks.world if ranks else 1)))
        module, _, function = job.run_cell.partition(":")
        run_cell: RunCell = getattr(importlib.import_module(module), function)
        run_cell(job.cell, job.folder, emit, should_stop, **options)
    except Interrupted:
        emit(Stopped())
    except RankLost:
        raise
    except Exception as error:  # it is the cell's result, and ends no run
        traceback.print_exc()
        if follows and isinstance(error, Diverged):  # on all of them
            return
        try:
            if disk_is_full(error):
                raise
            if device_is_broken(error):
                tell(DeviceBroken(one_line(str(error))))
                return
            write_result(job.folder, raised(job.cell, job.record, error, phase, started))
        except Exception as last:
            if not disk_is_full(last):
                raise
            tell(DiskFull(one_line(str(last))))


def _settle_on(placement: Placement) -> None:
    """Have this process see its devices alone. torch is loaded, and has not looked for devices yet."""
    torch = sys.modules.get("torch")
    if placement.environment and torch is not None and torch.cuda.is_initialized():
        raise RuntimeError(
            "the cells' server has initialised a device: cells would see all of them"
        )
    os.environ.update(placement.environment)
    if placement.shared:
        os.environ[SHARED_DEVICE] = "1"


def _end(connection: Connection, code: int = 0) -> NoReturn:
    """Ends the process at once: threads that a library left behind would keep it."""
    connection.close()
    util._run_finalizers(0)  # type: ignore[attr-defined]  # semaphores would count as leaked
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def tell_accelerator(_: None, connection: Connection) -> None:
    """Tell the name of the accelerator that a cell would find here, or None."""
    _die_with_parent()
    connection.send(accelerator())


@dataclass(frozen=True, slots=True)
class PreflightJob:
    """Cells to check before any of them runs. `check` is the "module:function" that does."""

    cells: tuple[Cell, ...]
    check: str


def tell_findings(job: PreflightJob, connection: Connection) -> None:
    """Tell what the check finds: an object of its own, or the text of an error that it did not
    expect.
    """
    _work_silently(1)
    try:
        module, _, function = job.check.partition(":")
        connection.send(getattr(importlib.import_module(module), function)(job.cells))
    except Exception:  # the process that asked tells of it
        connection.send(traceback.format_exc())


@dataclass(frozen=True, slots=True)
class PlacedTiming:
    """What to time, and where."""

    timing: TimingJob
    placement: Placement


def tell_timing(job: PlacedTiming, connection: Connection) -> None:
    """Tell how far it is, and in the end the timed set and its rows, or in one line why there are
    none.
    """
    _work_silently(job.timing.threads)
    try:
        _settle_on(job.placement)
        from lwft_bench.timing.run import time_methods

        connection.send(time_methods(job.timing, connection.send))
    except Exception as error:  # it costs the timing and never the run
        text = error.message if isinstance(error, UserError) else described(error)
        connection.send(one_line(text))


def _work_silently(threads: int) -> None:
    """For a process that tells all that it has to through its connection."""
    _die_with_parent()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    silent = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # what libraries say of models is for a cell's log
        os.dup2(silent, stream)
    set_threads(threads)


def _die_with_parent() -> None:
    """Have the kernel end this process when the parent is gone, whatever it is busy with.

    Only the parent holds the other end of this pipe, and it writes nothing more to it: what happens
    to it is its closing, and the default action of the SIGIO that follows is to end the process.
    (Where SIGIO is ignored by default, as on macOS, the next event does.)
    """
    parent = parent_process()
    assert parent is not None
    fcntl.fcntl(parent.sentinel, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(parent.sentinel, fcntl.F_GETFL)
    fcntl.fcntl(parent.sentinel, fcntl.F_SETFL, flags | os.O_ASYNC)
    if not parent.is_alive():
        os._exit(1)


def _log_to(path: Path) -> None:
    """Send what this process and its libraries print, and where it crashes, to a file."""
    with path.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)


def _stop_at_sigterm() -> threading.Event:
    """The event that SIGTERM sets. Both signals were blocked since before the fork."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    return stop


def set_threads(threads: int) -> None:
    """Have this process compute with so many threads.

    torch reads the variable when it loads; where it is loaded already it has to be told.
    """
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)
