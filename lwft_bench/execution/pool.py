"""Processes of cells, from the parent's side: started, listened to, asked to stop, killed."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection, forkserver, process, resource_tracker
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from typing import Any

from lwft_bench.cell.outcomes import SERVER_DIED, Ended, num_oom_kills
from lwft_bench.cell.provenance import now
from lwft_bench.execution.silence import Silence
from lwft_bench.execution.worker import Job, PreflightJob, tell_accelerator, tell_findings, work
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.events import DeviceBroken, DiskFull, Event, PhaseBegan, Stopped
from lwft_bench.schema.result import Phase

SILENT_PHASES: tuple[Phase, ...] = ("load", "plan", "save")
"""In these a library works that tells nothing: there, using the processor is a sign of life."""

_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""Of the server, so that no library starts threads while it loads: they would not survive the fork.
Cells set their own number."""

_LONGEST_FOLDER = 60
_STARTS = 5
_RESTART_SECONDS = 0.5
"""For a server that is dying to be dead, which is when another is started."""

_CLOSING_SECONDS = 5.0
_LISTENING_SECONDS = 0.2
_TRACEBACK_SECONDS = 0.5


class Server:
    """The process that cells are forked from. It imports `preload` once and runs none of it.

    Args:
        preload: Modules to import; none makes cells import what they need themselves.
    """

    def __init__(self, preload: Sequence[str]) -> None:
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(preload))
        _shorten_temporary_folder()

    def start(self, job: Job) -> CellProcess:
        """Start a cell in a process of its own."""
        process, events = self._start(work, job)
        return CellProcess(job, process, events)

    def accelerator(self) -> str | None:
        """The name of the accelerator that cells would find, asked in a process of its own."""
        process, events = self._start(tell_accelerator, None)
        name = None
        with events, suppress(EOFError):
            name = events.recv()
        process.join()
        return name

    def findings(self, check: PreflightJob) -> Any:
        """What the check finds, in a process of its own: a file that ends it ends not this one.

        Raises:
            UserError: If it ended without an answer.
        """
        process, events = self._start(tell_findings, check)
        found: Any = None
        with events, suppress(EOFError):
            found = events.recv()
        process.join()
        if isinstance(found, str):
            raise RuntimeError(f"the check before the run failed:\n{found}")
        if found is None:
            raise UserError(
                f"the check before the run ended by signal {-(process.exitcode or 0)}: a file of a "
                "model or a data set is damaged, or memory ran out"
            )
        return found

    def told(
        self,
        target: Callable[..., None],
        argument: object,
        go_on: Callable[[], bool],
        silent_seconds: float,
    ) -> Any:
        """What a process of its own tells last, events left out; None if it ended without, was silent
        for too long, or was not to go on.
        """
        process, events = self._start(target, argument)
        heard = time.monotonic()
        with events, suppress(EOFError):
            while go_on() and time.monotonic() - heard < silent_seconds:
                if events.poll(_LISTENING_SECONDS):
                    heard = time.monotonic()
                    if not isinstance(told := events.recv(), Event):
                        process.join()
                        return told
        process.kill()
        process.join()
        return None

    def _start(
        self, target: Callable[..., None], argument: object
    ) -> tuple[BaseProcess, connection.Connection]:
        """Start target(argument, connection); gives the process and the other end.

        Raises:
            RuntimeError: If the server dies again and again.
        """
        for _ in range(_STARTS):
            self._ensure_running()
            ours, theirs = self._context.Pipe()
            process = self._context.Process(target=target, args=(argument, theirs))
            try:
                process.start()
            except (EOFError, ConnectionError):  # the server died; a child dies with these ends
                ours.close()
                time.sleep(_RESTART_SECONDS)
                continue
            finally:
                theirs.close()
            return process, ours
        raise RuntimeError("the server of the cells' processes dies whenever it is started")

    def _ensure_running(self) -> None:
        """Start the server, again if it has died, deaf to the signals that are the parent's."""
        resource_tracker.ensure_running()  # the server's start includes this, and it unblocks them
        with _blocked({signal.SIGINT, signal.SIGTERM, signal.SIGHUP}), _environment(_ENVIRONMENT):
            forkserver.ensure_running()


class CellProcess:
    """A running cell."""

    def __init__(
        self,
        job: Job,
        process: BaseProcess,
        events: connection.Connection,
    ) -> None:
        self.job = job
        self.phase: Phase = "load"
        self.started = now()
        self._process = process
        self._events = events
        self._interrupted = False
        self._hung_seconds: float | None = None
        self._disk_full = ""
        self._broken_device = ""
        assert process.pid is not None
        self._silence = Silence(process.pid)
        self._oom_kills = num_oom_kills()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def waitables(self) -> list[connection.Connection | int]:
        """For `multiprocessing.connection.wait`: ready when there is something to do."""
        return [self._events, self._process.sentinel]

    @property
    def silent_seconds(self) -> float:
        """For how long it has given no sign of life, as far as that was watched."""
        return self._silence.watch(works_in_silence=self.phase in SILENT_PHASES)

    def events(self) -> Iterator[Event]:
        """Events that have arrived."""
        with suppress(EOFError, OSError):
            while self._events.poll():
                event: Event = self._events.recv()
                self._silence.broken()
                if isinstance(event, DiskFull):
                    self._disk_full = event.text
                if isinstance(event, DeviceBroken):
                    self._broken_device = event.text
                if isinstance(event, PhaseBegan):
                    self.phase = event.phase
                if isinstance(event, Stopped):
                    self._interrupted = True
                yield event

    def ended(self) -> Ended | None:
        """How the process ended; None while it runs. Not to be called again after that."""
        code = self._process.exitcode
        if code is None:
            return None
        for _ in self.events():
            pass
        if code == SERVER_DIED:
            self._outlive()
        self._events.close()
        kills = num_oom_kills()
        return Ended(
            exitcode=code,
            phase=self.phase,
            hung_seconds=self._hung_seconds,
            interrupted=self._interrupted,
            disk_full=self._disk_full,
            broken_device=self._broken_device,
            out_of_memory=code == -signal.SIGKILL and kills != self._oom_kills,
        )

    def stop(self) -> None:
        """Ask the cell to write a checkpoint and end."""
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def kill_as_hung(self) -> None:
        """Kill it, having had it write to its log where it is."""
        self._hung_seconds = self.silent_seconds
        self._silence.broken()
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGUSR1)
            time.sleep(_TRACEBACK_SECONDS)
        self._process.kill()

    def _outlive(self) -> None:
        """Make sure that the process is gone when its server is not there to tell.

        The far end of the connection is open exactly while it lives.
        """
        until = time.monotonic() + _CLOSING_SECONDS
        with suppress(ProcessLookupError, EOFError, OSError):
            while time.monotonic() < until:
                if self._events.poll(0.1):
                    self._events.recv()
                else:
                    os.kill(self.pid, signal.SIGKILL)


def _shorten_temporary_folder() -> None:
    """Sockets' paths have some hundred bytes: below a long TMPDIR there is no room for one."""
    config: dict[str, object] = process.current_process()._config  # type: ignore[attr-defined]
    if len(os.fsencode(tempfile.gettempdir())) > _LONGEST_FOLDER and not config.get("tempdir"):
        folder = tempfile.mkdtemp(prefix="lwft-", dir="/tmp")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        config["tempdir"] = folder


@contextmanager
def _blocked(signals: set[signal.Signals]) -> Iterator[None]:
    """Block signals for processes started meanwhile, for as long as they live."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
