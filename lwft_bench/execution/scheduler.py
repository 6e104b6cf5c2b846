"""The loop that keeps cells running until all have ended or a stop is asked for."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from lwft_bench.cell.outcomes import Ended, died
from lwft_bench.execution.executor import Executor, Submitted
from lwft_bench.execution.progress import PlainProgress
from lwft_bench.execution.queue import CellQueue
from lwft_bench.execution.stopping import StopRequests
from lwft_bench.execution.worker import LOG, Job
from lwft_bench.results.claims import Claims
from lwft_bench.results.store import RESULT, RunStore, write_result
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.run import CellRecord

TICK_SECONDS = 0.2
RESTARTS = 3
"""Of a cell whose process was killed from outside. What kills it every time is its own doing."""


@dataclass(frozen=True, slots=True)
class Limits:
    """hang_seconds: a cell that tells nothing for so long is killed. stop_seconds: what a cell has for
    its checkpoint when it is asked to stop. waits: for cells that others run, to stand in for them.
    """

    hang_seconds: float
    stop_seconds: float
    waits: bool = True


class Scheduler:
    """Has cells run, publishes their results, and leaves the interrupted ones to be gone on with."""

    def __init__(
        self,
        store: RunStore,
        claims: Claims,
        executor: Executor,
        make_job: Callable[[Cell, CellRecord], Job],
        progress: PlainProgress,
        limits: Limits,
        stops: StopRequests,
    ) -> None:
        self._store = store
        self._claims = claims
        self._executor = executor
        self._make_job = make_job
        self._progress = progress
        self._limits = limits
        self._stops = stops
        self._stops_heeded = 0
        self._kill_at = float("inf")
        self._told_to_wait = False
        self._running: list[Submitted] = []
        self._restarts: Counter[str] = Counter()

    def run(self, queue: CellQueue) -> None:
        """Run the cells, in order as far as there is room; returns early on a stop request."""
        try:
            while self._running or (queue.num_waiting and not self._stops.count):
                self._fill(queue)
                if not self._running and queue.only_elsewhere and not self._limits.waits:
                    return
                self._executor.wait(TICK_SECONDS)
                if not self._claims.renew():
                    self._abandon()
                for process in list(self._running):
                    self._listen(queue, process)
                for result in queue.ended_elsewhere():
                    self._progress.ended_elsewhere(result)
                self._heed_stops()
                self._progress.tick()
        finally:
            for process in self._running:
                process.kill()

    def _fill(self, queue: CellQueue) -> None:
        while not self._stops.count and (queued := queue.take(self._executor.has_room)):
            cell = queued.cell
            threads = cell.training.threads or self._executor.threads
            record = self._store.begin(cell, queued.identity, threads)
            self._progress.started(cell.id, self._store.has_checkpoint(cell.id))
            self._running.append(self._executor.submit(self._make_job(cell, record)))
        if not self._running and not self._executor.works and not self._stops.count:
            self._progress.say("nothing is left that cells could run on")
            self._stops.count += 1
        if not self._running and queue.only_elsewhere and not self._told_to_wait:
            self._told_to_wait = True
            self._progress.say(queue.told_elsewhere())

    def _abandon(self) -> None:
        """Others may have what ran here: this process stood still for longer than its lease."""
        self._progress.say("this process stood still; others may have taken over what it ran")
        for process in self._running:
            process.kill()

    def _listen(self, queue: CellQueue, process: Submitted) -> None:
        for event in process.events():
            self._progress.event(process.job.cell.id, event)
        if (ended := process.ended()) is not None:
            self._running.remove(process)
            self._settle(queue, process, ended, self._executor.collect(process, ended))
        elif process.silent_seconds > self._limits.hang_seconds:
            process.kill_as_hung()

    def _settle(
        self, queue: CellQueue, process: Submitted, ended: Ended, displaced: str | None
    ) -> None:
        """A result is taken as it is, however the process ended after writing it.

        displaced: Why the place where it ran has ended it.
        """
        cell, folder = process.job.cell, process.job.folder
        if not queue.holds(cell.id):
            self._progress.dropped(cell.id, "left to whoever has it now")
            queue.put_back(cell.id)
            return
        if not (folder / RESULT).exists():
            if (why := self._why_unfinished(ended)) is not None:
                self._progress.dropped(cell.id, why)
                queue.drop(cell.id)
                return
            if displaced is not None:
                self._progress.dropped(cell.id, displaced)
                queue.put_back(cell.id)
                return
            if ended.killed_from_outside and self._restarts[cell.id] < RESTARTS:
                self._restarts[cell.id] += 1
                self._progress.dropped(cell.id, "its process was killed; starting it again")
                queue.put_back(cell.id)
                return
            log = folder / LOG
            write_result(folder, died(cell, process.job.record, ended, log, process.started))
        self._progress.finished(cell.id, self._store.publish(cell.id))
        queue.drop(cell.id)

    def _why_unfinished(self, ended: Ended) -> str | None:
        """Why the cell has no result, where this run leaves it at that."""
        if ended.interrupted:
            return "interrupted, checkpoint written"
        if self._stops.count:
            return "killed, goes on from its last checkpoint"
        if ended.disk_full:
            self._stops.count += 1  # what else runs would come to the same
            return f"no room on the disk: {ended.disk_full}"
        return None

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
