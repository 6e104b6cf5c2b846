"""The loop that keeps cells running until all have ended or a stop is asked for."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lwft_bench.cell.outcomes import Ended, died
from lwft_bench.execution.executor import Executor, Submitted
from lwft_bench.execution.progress import PlainProgress
from lwft_bench.execution.stopping import StopRequests
from lwft_bench.execution.worker import LOG, Job
from lwft_bench.results.store import RESULT, RunStore, write_result
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.run import Identity

TICK_SECONDS = 0.2
RESTARTS = 3
"""Of a cell whose process was killed from outside. What kills it every time is its own doing."""


@dataclass(frozen=True, slots=True)
class Limits:
    """hang_seconds: a cell that tells nothing for so long is killed. stop_seconds: what a cell has for
    its checkpoint when it is asked to stop.
    """

    hang_seconds: float
    stop_seconds: float


class Scheduler:
    """Has cells run, publishes their results, and leaves the interrupted ones to be gone on with."""

    def __init__(
        self,
        store: RunStore,
        executor: Executor,
        run_cell: str,
        saves_weights: Callable[[Cell], bool],
        progress: PlainProgress,
        limits: Limits,
        stops: StopRequests,
    ) -> None:
        self._store = store
        self._executor = executor
        self._run_cell = run_cell
        self._saves_weights = saves_weights
        self._progress = progress
        self._limits = limits
        self._stops = stops
        self._stops_heeded = 0
        self._kill_at = float("inf")
        self._waiting: deque[tuple[Cell, Identity]] = deque()
        self._running: list[Submitted] = []
        self._restarts: Counter[str] = Counter()

    def run(self, cells: Iterable[tuple[Cell, Identity]]) -> None:
        """Run the cells, in order as far as there is room; returns early on a stop request."""
        self._waiting.extend(cells)
        try:
            while self._running or (self._waiting and not self._stops.count):
                self._fill()
                self._executor.wait(TICK_SECONDS)
                for process in list(self._running):
                    self._listen(process)
                self._heed_stops()
                self._progress.tick()
        finally:
            for process in self._running:
                process.kill()

    def _fill(self) -> None:
        while self._waiting and not self._stops.count:
            cell, identity = self._waiting[0]
            if not self._executor.has_room(cell):
                return
            self._waiting.popleft()
            threads = cell.training.threads or self._executor.threads
            record = self._store.begin(cell, identity, threads)
            self._progress.started(cell.id, self._store.has_checkpoint(cell.id))
            folder = self._store.work_folder(cell.id)
            job = Job(cell, record, folder, self._run_cell, self._saves_weights(cell))
            self._running.append(self._executor.submit(job))

    def _listen(self, process: Submitted) -> None:
        for event in process.events():
            self._progress.event(process.job.cell.id, event)
        if (ended := process.ended()) is not None:
            self._running.remove(process)
            self._executor.collect(process, ended)
            self._settle(process, ended)
        elif process.silent_seconds > self._limits.hang_seconds:
            process.kill_as_hung()

    def _settle(self, process: Submitted, ended: Ended) -> None:
        """A result is taken as it is, however the process ended after writing it."""
        cell, folder = process.job.cell, process.job.folder
        if not (folder / RESULT).exists():
            if ended.interrupted:
                self._progress.dropped(cell.id, "interrupted, checkpoint written")
                return
            if self._stops.count:
                self._progress.dropped(cell.id, "killed, goes on from its last checkpoint")
                return
            if ended.disk_full:
                self._progress.dropped(cell.id, f"no room on the disk: {ended.disk_full}")
                self._stops.count += 1  # what else runs would come to the same
                return
            if ended.killed_from_outside and self._restarts[cell.id] < RESTARTS:
                self._restarts[cell.id] += 1
                self._waiting.appendleft((cell, Identity(process.job.record.components)))
                self._progress.dropped(cell.id, "its process was killed; starting it again")
                return
            log = folder / LOG
            write_result(folder, died(cell, process.job.record, ended, log, process.started))
        self._progress.finished(cell.id, self._store.publish(cell.id))

    def _heed_stops(self) -> None:
        """The first request asks the cells to stop, the second kills them, and so does time."""
        asked, self._stops_heeded = self._stops_heeded, self._stops.count
        now = time.monotonic()
        if self._stops.count and not asked:
            self._kill_at = now + self._limits.stop_seconds
            if self._running:
                self._progress.say(
                    f"stopping: {len(self._running)} running cells write their checkpoints "
                    "(once more to kill them)"
                )
            for process in self._running:
                process.stop()
        if self._stops.count > 1 or now > self._kill_at:
            for process in self._running:
                process.kill()
