"""Cells in processes of this machine."""

from __future__ import annotations

from multiprocessing.connection import wait

from lwft_bench.cell.outcomes import Ended
from lwft_bench.execution.executor import Submitted
from lwft_bench.execution.pool import CellProcess, Server
from lwft_bench.execution.worker import Job
from lwft_bench.schema.cell import Cell


class LocalExecutor:
    """Runs so many cells at once, each in a process forked from the server.

    Args:
        threads: CPU threads of a cell that does not name its own.
    """

    def __init__(self, server: Server, workers: int, threads: int) -> None:
        self.threads = threads
        self._server = server
        self._workers = workers
        self._running: dict[str, CellProcess] = {}

    def has_room(self, cell: Cell) -> bool:
        return len(self._running) < self._workers

    def submit(self, job: Job) -> Submitted:
        process = self._server.start(job)
        self._running[job.cell.id] = process
        return process

    def wait(self, seconds: float) -> None:
        wait([one for process in self._running.values() for one in process.waitables], seconds)

    def collect(self, submitted: Submitted, ended: Ended) -> None:
        """The process wrote where the run looks."""
        del self._running[submitted.job.cell.id]
