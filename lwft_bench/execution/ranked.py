"""Cells under torchrun: one after another, each trained by all ranks in their own processes.

The first rank decides, writes and tells; the others train with it. There is no process of its own
for a cell, so an error that not all ranks have in common ends the whole job.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lwft_bench.cell.outcomes import raised
from lwft_bench.cell.provenance import now
from lwft_bench.execution.progress import PlainProgress
from lwft_bench.execution.queue import LOOK_SECONDS, CellQueue, QueuedCell
from lwft_bench.execution.stopping import StopRequests, stop_requests
from lwft_bench.execution.worker import LOG, RunCell, set_threads
from lwft_bench.memory.load import num_cores
from lwft_bench.results.store import RunStore, write_result
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.events import Emit, Event, PhaseBegan
from lwft_bench.schema.result import Phase
from lwft_bench.training.errors import Diverged, Interrupted
from lwft_bench.training.ranks import RankLost, Ranks

_FIRST_RANK_ALONE = ("plan", "evaluate", "save")
"""Phases in which the others wait for the next cell already, unless they share out the model."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the first rank has all ranks run."""

    cell: Cell
    threads: int
    saves_weights: bool
    reuse: bool

    @property
    def cell_id(self) -> str:
        return self.cell.id


class RankedCells:
    """Runs cells with the other ranks. `run_cell` is the "module:function" of a RunCell."""

    def __init__(
        self,
        ranks: Ranks,
        store: RunStore,
        run_cell: str,
        saves_weights: Callable[[Cell], bool],
        stops: StopRequests,
        reuse: bool = True,
    ) -> None:
        module, _, function = run_cell.partition(":")
        self._run_cell: RunCell = getattr(importlib.import_module(module), function)
        self._ranks = ranks
        self._store = store
        self._saves_weights = saves_weights
        self._stops = stops
        self._reuse = reuse
        self._in_step = True

    def lead(self, queue: CellQueue, progress: PlainProgress) -> None:
        """The first rank's part; returns early on a stop request, and when a rank is lost."""
        while queue.num_waiting and self._in_step and not self._stops.count:
            if queued := queue.take(lambda cell: True):
                self._in_step = self._lead_one(queue, queued, progress)
                queue.drop(queued.cell.id)
            else:
                time.sleep(LOOK_SECONDS)
            for result in queue.ended_elsewhere():
                progress.ended_elsewhere(result)

    def dismiss(self) -> None:
        """Let the other ranks go, once there are no more cells."""
        if self._in_step:
            self._ranks.broadcast(None)
            self._ranks.leave()

    def follow(self) -> None:
        """Any other rank's part. When the first one is gone it has said why."""
        try:
            while (order := self._ranks.broadcast(None)) is not None:
                try:
                    self._run(order, Path(os.devnull), lambda event: None)
                except (Interrupted, Diverged):
                    continue
        except RankLost:
            return
        self._ranks.leave()

    def _lead_one(self, queue: CellQueue, queued: QueuedCell, progress: PlainProgress) -> bool:
        """Runs a cell to its result; tells whether the ranks can go on to another."""
        cell = queued.cell
        threads = cell.training.threads or threads_per_rank()
        record = self._store.begin(cell, queued.identity, threads)
        folder = self._store.work_folder(cell.id)
        progress.started(cell.id, self._store.has_checkpoint(cell.id))
        phase: Phase = "load"
        started = now()
        in_step = True

        def emit(event: Event) -> None:
            nonlocal phase
            if isinstance(event, PhaseBegan):
                phase = event.phase
            progress.event(cell.id, event)
            progress.tick()

        order = Order(cell, record.threads, self._saves_weights(cell), self._reuse)
        try:
            self._ranks.broadcast(order)
            self._run(order, folder / LOG, emit)
        except Interrupted:
            progress.dropped(cell.id, "interrupted, checkpoint written")
            return True
        except RankLost as error:
            progress.dropped(cell.id, f"goes on from its last checkpoint: {error}")
            return False
        except Exception as error:  # it is the cell's result, and ends no run
            write_result(folder, raised(cell, record, error, phase, started))
            alone = phase in _FIRST_RANK_ALONE and not cell.training.sharded
            in_step = isinstance(error, Diverged) or alone
        if queue.holds(cell.id):
            progress.finished(cell.id, self._store.publish(cell.id))
        else:
            progress.dropped(cell.id, "left to whoever has it now")
        return in_step

    def _run(self, order: Order, log: Path, emit: Emit) -> None:
        set_threads(order.threads)
        with logged(log):
            try:
                self._run_cell(
                    order.cell,
                    self._store.work_folder(order.cell_id),
                    emit,
                    lambda: self._stops.count > 0,
                    save=order.saves_weights,
                    ranks=self._ranks,
                    reuse=order.reuse,
                )
            except Interrupted:
                raise
            except Exception:
                traceback.print_exc()
                raise


def follow(store: RunStore, run_cell: str, ranks: Ranks) -> None:
    """What a rank but the first does in a run."""
    with stop_requests() as stops:
        RankedCells(ranks, store, run_cell, lambda cell: False, stops).follow()


def threads_per_rank() -> int:
    """The machine's cores, divided among its ranks."""
    return max(1, num_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Send what is printed inside, by whatever library, to a file."""
    _flush()
    saved = [os.dup(number) for number in (1, 2)]
    with path.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        _flush()
        for number, descriptor in zip((1, 2), saved, strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
