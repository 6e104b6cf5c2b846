"""Cells in processes of this machine."""

from __future__ import annotations

from dataclasses import replace
from multiprocessing.connection import wait

from lwft_bench.cell.outcomes import Ended
from lwft_bench.execution.devices import Devices, Placement
from lwft_bench.execution.executor import Submitted
from lwft_bench.execution.pool import CellProcess, Server
from lwft_bench.execution.worker import Job
from lwft_bench.schema.cell import Cell


class LocalExecutor:
    """Runs so many cells at once, each in a process forked from the server.

    Args:
        threads: CPU threads of a cell that does not name its own.
        devices: What cells are shared out on.
        placement: Where a cell computes if there are no such devices.
    """

    def __init__(
        self,
        server: Server,
        workers: int,
        threads: int,
        devices: Devices | None = None,
        placement: Placement | None = None,
    ) -> None:
        self.threads = threads
        self._server = server
        self._workers = workers
        self._devices = devices
        self._placement = placement or Placement()
        self._running: dict[str, CellProcess] = {}
        self._met_broken: set[str] = set()

    @property
    def works(self) -> bool:
        return self._devices is None or self._devices.enough

    def has_room(self, cell: Cell) -> bool:
        if len(self._running) >= self._workers:
            return False
        return self._devices is None or bool(self._devices.devices_for(cell))

    def submit(self, job: Job) -> Submitted:
        process = self._server.start(replace(job, placement=self.place(job.cell)))
        self._running[job.cell.id] = process
        return process

    def place(self, cell: Cell) -> Placement:
        """Where the cell computes from now on."""
        return self._devices.place(cell) if self._devices else self._placement

    def wait(self, seconds: float) -> None:
        wait([one for process in self._running.values() for one in process.waitables], seconds)

    def collect(self, submitted: Submitted, ended: Ended) -> str | None:
        """The process wrote where the run looks.

        A cell under which a second device fails is taken to be the reason.
        """
        cell_id, devices = submitted.job.cell.id, submitted.job.placement.devices
        del self._running[cell_id]
        if self._devices is None:
            return None
        self._devices.free(cell_id)
        if not ended.broken_device or cell_id in self._met_broken:
            return None
        self._met_broken.add(cell_id)
        self._devices.retire(devices)
        which = "devices" if len(devices) > 1 else "device"
        left = "have failed and are left out" if len(devices) > 1 else "has failed and is left out"
        return f"{which} {', '.join(devices)} {left}: {ended.broken_device}"
