"""Runners in a Slurm queue, through submitit: each job of an array is one more run of the same command.

The jobs share the run directory and claim cells in it as any runners do, so that a job that is killed,
times out or never starts costs nobody but itself. Before its time is over a job has its cells write
their checkpoints and is queued again.
"""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lwft_bench.execution.progress import PlainProgress
from lwft_bench.execution.queue import LOOK_SECONDS, CellQueue
from lwft_bench.execution.stopping import StopRequests
from lwft_bench.plugins.extras import import_extra
from lwft_bench.schema.errors import UserError

_STOP_SECONDS = 120
"""Before a job's time is over, for its cells to write their checkpoints."""

_CLOSING_SECONDS = 60.0
_POLL_SECONDS = 0.2

_REQUEUES = 100
"""Of a job whose time was over."""

_OF_ONE_MACHINE = (
    "tmpfs",
    "ramfs",
    "ext2",
    "ext3",
    "ext4",
    "xfs",
    "btrfs",
    "overlay",
    "zfs",
    "f2fs",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmOptions:
    """What jobs to ask for.

    command: what each of them runs; its run must not wait for others' cells. more: further parameters,
    as submitit names them, such as `account`, `qos` or `mem`. cluster: submitit's `local`
    stands in for Slurm where there is none.
    """

    command: tuple[str, ...]
    jobs: int = 1
    partition: str | None = None
    minutes: float = 60
    gpus: int = 1
    cpus: int = 8
    more: Mapping[str, str] = field(default_factory=dict)
    cluster: Literal["slurm", "local"] = "slurm"
    stop_seconds: int = _STOP_SECONDS


class QueuedRunner:
    """One job."""

    def __init__(self, command: Sequence[str], out: Path) -> None:
        self._command = list(command)
        self._out = out
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> int:
        """Run the command; gives its exit code.

        Raises:
            UserError: The run's directory is not there, or the command refuses its input.
        """
        if not self._out.is_dir():
            raise UserError(
                f"{self._out} is not there on {socket.gethostname()}",
                "give --out on a file system that all nodes share",
            )
        self._process = subprocess.Popen(self._command)
        while (code := self._process.poll()) is None:
            time.sleep(_POLL_SECONDS)
        if code == 2:
            raise UserError("the run refused its input: see this job's log")
        return code

    def checkpoint(self) -> Any:
        """Called by submitit before the job's time is over; gives what is queued in its place."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            _await_end(self._process.pid)
        helpers = import_extra("submitit.helpers", "slurm")
        return helpers.DelayedSubmission(QueuedRunner(self._command, self._out))


def _await_end(pid: int) -> None:
    """Wait for a child from a signal's handler, where the lock of its Popen may be held."""
    with suppress(ChildProcessError):
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            time.sleep(_POLL_SECONDS)


class JobArray:
    """The jobs that work in a run directory. Logs and what submitit keeps are in `slurm/` there."""

    def __init__(self, options: SlurmOptions, out: Path) -> None:
        import_extra("submitit", "slurm")
        self._options = options
        self._out = out.resolve()
        self.logs = self._out / "slurm"
        self._jobs: list[Any] = []

    def submit(self) -> None:
        """Queue the jobs.

        Raises:
            UserError: There is no Slurm here, or it refuses them.
        """
        options = self._options
        errors = import_extra("submitit.core.utils", "slurm")
        executor = self._local() if options.cluster == "local" else self._slurm()
        try:
            with executor.batch():
                for _ in range(options.jobs):
                    self._jobs.append(executor.submit(QueuedRunner(options.command, self._out)))
        except errors.FailedJobError as error:
            raise UserError(
                f"Slurm refused the jobs: {_last_line(str(error))}",
                "sinfo lists partitions and their limits; --dry-run shows the batch script",
            ) from None

    @property
    def num_alive(self) -> int:
        """Jobs that run or wait in the queue."""
        return sum(not job.done() for job in self._jobs)

    @property
    def names(self) -> str:
        """The jobs' numbers."""
        return ", ".join(str(job.job_id) for job in self._jobs)

    def cancel(self) -> None:
        """End the jobs; their cells write checkpoints first."""
        for job in self._jobs:
            job.cancel(check=False)

    def close(self) -> None:
        """Let jobs end that have found nothing more to do, and take those out that never began."""
        until = time.monotonic() + _CLOSING_SECONDS
        while self.num_alive and time.monotonic() < until:
            time.sleep(LOOK_SECONDS)
        if self.num_alive:
            self.cancel()

    def script(self) -> str:
        """The batch script that would be submitted. Slurm need not be here."""
        slurm = import_extra("submitit.slurm.slurm", "slurm")

        class _Shown(slurm.SlurmExecutor):  # type: ignore[name-defined]
            @classmethod
            def affinity(cls) -> int:
                return 1

        executor = _Shown(self.logs, max_num_timeout=_REQUEUES)
        self._set(executor)
        if self._options.jobs > 1:
            executor.parameters["map_count"] = self._options.jobs
        text: str = executor._make_submission_file_text(executor._submitit_command_str, "")
        return text

    def _slurm(self) -> Any:
        slurm = import_extra("submitit.slurm.slurm", "slurm")
        try:
            executor = slurm.SlurmExecutor(self.logs, max_num_timeout=_REQUEUES)
        except RuntimeError as error:
            raise UserError(
                f"there is no Slurm here: {error}",
                "give the command on a login node of the cluster; --dry-run shows the batch script",
            ) from None
        self._set(executor)
        return executor

    def _local(self) -> Any:
        local = import_extra("submitit.local.local", "slurm")
        executor = local.LocalExecutor(self.logs, max_num_timeout=_REQUEUES)
        options = self._options
        executor.update_parameters(
            timeout_min=options.minutes, signal_delay_s=options.stop_seconds, gpus_per_node=0
        )
        return executor

    def _set(self, executor: Any) -> None:
        options = self._options
        parameters: dict[str, Any] = {
            "job_name": "lwft-bench",
            "time": math.ceil(options.minutes),
            "cpus_per_task": options.cpus,
            "signal_delay_s": options.stop_seconds,
        }
        if options.gpus:
            parameters["gpus_per_node"] = options.gpus
        if options.partition is not None:
            parameters["partition"] = options.partition
        try:
            executor.update_parameters(**parameters | dict(options.more))
        except ValueError as error:
            raise UserError(
                f"--slurm: {str(error).splitlines()[0]}",
                "the names are submitit's, such as account, qos, mem and constraint",
            ) from None


def watch(array: JobArray, queue: CellQueue, progress: PlainProgress, stops: StopRequests) -> None:
    """Tell what the jobs have done until all cells have ended; on a stop request end the jobs."""
    if not array.num_alive:
        array.submit()
        progress.say(f"in the queue: {array.names}; logs in {array.logs}")
    while queue.num_waiting:
        if stops.count:
            progress.say("ending the jobs; their cells write checkpoints first")
            array.cancel()
            return
        ended = not array.num_alive
        queue.look()
        for result in queue.ended_elsewhere():
            progress.ended_elsewhere(result)
        if ended and queue.num_waiting:
            progress.say(
                f"all jobs have ended, and {queue.num_waiting} cells are left; their logs, in "
                f"{array.logs}, say why. No log: the directory is not on a file system that "
                "nodes share"
            )
            return
        progress.tick()
        time.sleep(LOOK_SECONDS)


def told_place(directory: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """A warning of a directory that other machines are not likely to see; None of any other."""
    path = directory.resolve()
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    fields = [line.split() for line in lines]
    kinds = {one[1].replace("\\040", " "): one[2] for one in fields if len(one) > 2}
    above = [str(parent) for parent in (path, *path.parents) if str(parent) in kinds]
    kind = kinds[above[0]] if above else ""
    if kind not in _OF_ONE_MACHINE:
        return None
    return (
        f"warning: {directory} is on a file system of this machine ({kind}): unless it is exported, "
        "jobs on other nodes do not see it"
    )


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it did not say why"
