"""A process that runs cells for another, which holds the far end of its connection: `serve`.

It is how cells run on other machines: what starts it there need import nothing of this package's, and
nothing that it has loaded or set reaches the cells, which are forked from a server as they are at home.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

from lwft_bench.cell.outcomes import Ended
from lwft_bench.execution.attempts import LOOK_AT_ORDERS_SECONDS, order_of
from lwft_bench.execution.pool import CellProcess, Server
from lwft_bench.execution.worker import Job
from lwft_bench.schema.events import Event


@dataclass(frozen=True, slots=True)
class HostedJob:
    """A cell to run elsewhere. Its folders are named as that machine sees them.

    attempt: the file with its orders. arguments: the command of the run, for the record. folder: where
    that was given. environment: what the cell finds beside what its job sets.
    """

    job: Job
    attempt: Path
    preload: tuple[str, ...]
    arguments: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Told:
    """What a hosted cell has told since the last time; `ended` in the last one alone."""

    events: tuple[Event, ...] = ()
    silent_seconds: float = 0.0
    ended: Ended | None = None


def serve() -> None:
    """Run what is sent, one job after another, until the other end closes.

    The first argument is the file descriptor of this end.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(int(sys.argv[1]))
    server: Server | None = None
    with suppress(EOFError, ConnectionError):
        while True:
            hosted: HostedJob = connection.recv()
            sys.argv = list(hosted.arguments)
            if hosted.folder.is_dir():
                os.chdir(hosted.folder)
            os.environ.update(hosted.environment)
            server = server or Server(hosted.preload)
            _run(server.start(hosted.job), hosted, connection)
    os._exit(0)  # the cell and the server see it, and end


def _run(process: CellProcess, hosted: HostedJob, connection: Connection) -> None:
    given = "go"
    while True:
        wait([*process.waitables, connection], LOOK_AT_ORDERS_SECONDS)
        if connection.poll():  # nothing is sent meanwhile: the other end has closed
            process.kill()
            raise EOFError
        events, ended = tuple(process.events()), process.ended()
        connection.send(Told(events, 0.0 if ended else process.silent_seconds, ended))
        if ended is not None:
            return
        order = order_of(hosted.attempt)
        if order is None or not _exists(hosted.job.runner):
            process.kill()
        elif order != given:
            if order == "stop":
                process.stop()
                given = order
            elif order == "tell and end":
                process.kill_as_hung()
                given = order


def _exists(runner: Path | None) -> bool:
    return runner is None or order_of(runner) is not None
