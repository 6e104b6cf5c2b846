"""Cells as tasks of a Ray cluster whose nodes share the run directory.

This process remains the only one that publishes results. A cell writes into its work folder on the
shared file system, so that its checkpoints are there for whoever goes on with it. Its task tells what
happens as it goes; what is to happen, the task's host reads from the attempt's file (`attempts.py`).
"""

from __future__ import annotations

import json
import pickle
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from lwft_bench.cell.outcomes import SERVER_DIED, Ended
from lwft_bench.cell.provenance import COMMIT, commit, now
from lwft_bench.execution.attempts import Attempts, give
from lwft_bench.execution.executor import Submitted
from lwft_bench.execution.host import HostedJob, Told
from lwft_bench.execution.ray_cluster import Cluster
from lwft_bench.execution.ray_task import run_hosted
from lwft_bench.execution.worker import Job
from lwft_bench.plugins.extras import import_extra
from lwft_bench.results.store import CHECKPOINT
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.events import Event, PhaseBegan
from lwft_bench.schema.result import Phase

LOST_AT_ONE_CHECKPOINT = 10
"""So often a cell's place may be lost before it has come further: then the cell is taken to be why."""


class RayCell:
    """A cell that is a task of the cluster."""

    def __init__(self, job: Job, attempt: Path, stream: Any, cluster: Cluster) -> None:
        self.job = job
        self.attempt = attempt
        self.stream = stream
        self.started = now()
        self._cluster = cluster
        self._phase: Phase = "load"
        self._heard = False
        self._told = Told()

    @property
    def silent_seconds(self) -> float:
        return self._told.silent_seconds

    def events(self) -> Iterator[Event]:
        while self._told.ended is None and self._cluster.ray.wait([self.stream], timeout=0)[0]:
            self._told = self._next()
            for event in self._told.events:
                if isinstance(event, PhaseBegan):
                    self._phase = event.phase
                yield event

    def _next(self) -> Told:
        ray, errors = self._cluster.ray, self._cluster.exceptions
        try:
            told: Told = pickle.loads(ray.get(next(self.stream)))
        except errors.OutOfMemoryError:
            killed = Ended(-signal.SIGKILL, self._phase, out_of_memory=True)
            return Told(ended=killed)
        except StopIteration:
            return Told(ended=self._lost("its task ended without a word"))
        except errors.TaskCancelledError:
            return Told(ended=Ended(-signal.SIGKILL, self._phase))
        except errors.RayTaskError as error:
            return Told(ended=self._lost(f"its task failed: {_last_line(error)}"))
        except errors.RayError as error:
            return Told(ended=self._lost(f"its node or worker is gone ({type(error).__name__})"))
        self._heard = True
        return told

    def _lost(self, why: str) -> Ended:
        return Ended(SERVER_DIED, self._phase, lost=why)

    def ended(self) -> Ended | None:
        return self._told.ended

    def stop(self) -> None:
        """One that waits for a place is taken back."""
        give(self.attempt, "stop")
        if not self._heard:
            self._cancel()

    def kill(self) -> None:
        self.attempt.unlink(missing_ok=True)
        if not self._heard:
            self._cancel()

    def kill_as_hung(self) -> None:
        give(self.attempt, "tell and end")
        self._told = replace(self._told, silent_seconds=0.0)  # it has been heard for long enough

    def _cancel(self) -> None:
        with suppress(self._cluster.exceptions.RayError, ValueError):
            self._cluster.ray.cancel(self.stream, force=True)


class RayExecutor:
    """Runs as many cells at once as the cluster's nodes have room for.

    Args:
        runner: This runner's file in `claims/`.
        workers: Cells at once; None: as the cluster's nodes have room for.
        memory_bytes: What a cell needs of its node's memory, by cell id.
    """

    def __init__(
        self,
        cluster: Cluster,
        directory: Path,
        runner: Callable[[], Path],
        preload: tuple[str, ...],
        workers: int | None = None,
        memory_bytes: Mapping[str, int] | None = None,
    ) -> None:
        self.threads = cluster.share.cpus
        self._cluster = cluster
        self._attempts = Attempts(directory.resolve(), runner)
        self._preload = preload
        self._workers = workers
        self._memory_bytes = memory_bytes or {}
        self._running: dict[str, RayCell] = {}
        self._lost: Counter[tuple[str, str]] = Counter()

    @property
    def works(self) -> bool:
        return True

    def has_room(self, cell: Cell) -> bool:
        limit = self._workers or max(1, self._cluster.num_cells)
        return len(self._running) < limit and self._attempts.is_settled(cell)

    def submit(self, job: Job) -> Submitted:
        attempt = self._attempts.begin(job.cell)
        runner = job.runner.resolve() if job.runner else None
        there = replace(job, folder=job.folder.resolve(), runner=runner)
        made_by = {COMMIT: json.dumps(commit())}
        hosted = HostedJob(there, attempt, self._preload, tuple(sys.argv), Path.cwd(), made_by)
        share = self._cluster.share
        options: dict[str, Any] = {
            "num_cpus": share.cpus,
            "num_gpus": share.gpus,
            "max_retries": 0,
            "num_returns": "streaming",
            "name": job.cell.id,
        }
        if (memory := self._memory_bytes.get(job.cell.id)) is not None:
            options["memory"] = memory
        task = self._cluster.ray.remote(_run_on_node).options(**options)
        cell = RayCell(job, attempt, task.remote(hosted), self._cluster)
        self._running[job.cell.id] = cell
        return cell

    def wait(self, seconds: float) -> None:
        streams = [cell.stream for cell in self._running.values()]
        if streams:
            self._cluster.ray.wait(streams, timeout=seconds)
        else:
            time.sleep(seconds)

    def collect(self, submitted: Submitted, ended: Ended) -> str | None:
        """The cell wrote where the run looks. One whose place is lost again and again before it comes
        further is taken to be the reason.
        """
        cell_id = submitted.job.cell.id
        self._attempts.end(self._running.pop(cell_id).attempt, seen=not ended.lost)
        if not ended.lost:
            return None
        checkpoints = sorted(path.name for path in submitted.job.folder.glob(CHECKPOINT))
        place = (cell_id, checkpoints[-1] if checkpoints else "")
        self._lost[place] += 1
        if self._lost[place] >= LOST_AT_ONE_CHECKPOINT:
            return None
        return f"{ended.lost}; starting it elsewhere"


def _run_on_node(hosted: HostedJob) -> Iterator[bytes]:
    """The task."""
    ids = import_extra("ray", "ray").get_runtime_context().get_accelerator_ids()
    yield from run_hosted(hosted, tuple(map(str, ids.get("GPU", ()))))


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
