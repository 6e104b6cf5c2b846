"""What a run has Ray do on other machines: look at a node, and have a cell run by a host there.

Runs in Ray's workers, which go on to run other tasks: nothing is loaded or set in them. A task ends as
a task, however the cell ends, so that Ray sees no crash to try again.
"""

from __future__ import annotations

import pickle
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from lwft_bench.cell.outcomes import SERVER_DIED, Ended
from lwft_bench.cell.provenance import versions
from lwft_bench.execution.devices import HIDDEN, VARIABLES, Placement
from lwft_bench.execution.host import HostedJob, Told

_hosts: dict[tuple[str, ...], tuple[subprocess.Popen[bytes], Connection]] = {}
"""This worker's, by what they have loaded: the next cell need not load it again."""


@dataclass(frozen=True, slots=True)
class Node:
    """What a run wants to know of a node. missing: the first of the paths that is not there."""

    host: str
    versions: dict[str, str | None]
    missing: Path | None


def look_at_node(paths: tuple[Path, ...]) -> Node:
    """Whether a node sees the same files, and what it has installed."""
    missing = [path for path in paths if not path.exists()]
    return Node(socket.gethostname(), versions(), missing[0] if missing else None)


def run_hosted(hosted: HostedJob, devices: tuple[str, ...]) -> Iterator[bytes]:
    """Have a cell run by a host; gives what it tells, each a pickled `Told`.

    Args:
        devices: The GPUs that Ray has given the task; several train the cell together.
    """
    runner = hosted.job.runner
    if runner is not None and not runner.exists():
        where = f"{runner} is not there on {socket.gethostname()}"
        yield _pickled(Ended(SERVER_DIED, "load", lost=f"{where}: the run is over, or not shared"))
        return
    placement = HIDDEN
    if devices:
        environment = {VARIABLES["cuda"]: ",".join(devices)}
        placement = Placement(environment, devices, processes=len(devices))
    job = replace(hosted.job, placement=placement)
    connection = _host(hosted.preload)
    connection.send(replace(hosted, job=job))
    told = Told()
    while told.ended is None:
        try:
            told = connection.recv()
        except (EOFError, ConnectionError):
            _close(hosted.preload)
            yield _pickled(Ended(SERVER_DIED, "load", lost="the process that ran cells here died"))
            return
        yield pickle.dumps(told)


def _pickled(ended: Ended) -> bytes:
    return pickle.dumps(Told(ended=ended))


def _host(preload: tuple[str, ...]) -> Connection:
    """The host that has loaded these, which is started if there is none."""
    if preload in _hosts and _hosts[preload][0].poll() is None:
        return _hosts[preload][1]
    _close(preload)
    ours, theirs = Pipe()
    # Not by -m: what its module defines would be that of another, `__main__`, for this process.
    program = "from lwft_bench.execution.host import serve; serve()"
    command = [sys.executable, "-c", program, str(theirs.fileno())]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
    theirs.close()
    _hosts[preload] = (process, ours)
    return ours


def _close(preload: tuple[str, ...]) -> None:
    if preload not in _hosts:
        return
    process, connection = _hosts.pop(preload)
    with suppress(OSError):
        connection.close()
    process.kill()
    process.wait()
