"""A cell of several devices: processes that train it together, started by torchrun's own launcher.

The launcher is a child of the cell's process, and they are its children. Each is connected to the cell's
process, tells it what there is to tell, and ends when the connection does.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Client, Connection, wait
from pathlib import Path

from lwft_bench.execution.worker import Job, carry_out
from lwft_bench.schema.events import Emit, Event
from lwft_bench.training.ranks import Ranks

_LOOK_SECONDS = 0.2
_CLOSING_SECONDS = 30.0
_ADDRESS = "LWFT_BENCH_CELL_SOCKET"
_STOP = "stop"


def launch(job: Job, emit: Emit, stop: threading.Event) -> int:
    """Have the cell run by its processes, to their end.

    Where a signal has killed one of them, it kills this process too, so that the run sees how the cell
    has ended.

    Returns:
        The exit code that tells the same.
    """
    with _door() as (door, address):
        launcher = subprocess.Popen(
            [sys.executable, "-c", _program("lead"), str(job.placement.processes)],
            env=os.environ | {_ADDRESS: address, "PYTHONPATH": os.pathsep.join(sys.path)},
            start_new_session=True,  # what stops the run at a terminal is for this process alone
        )
        try:
            _relay(_accepted(door, launcher, job), emit, stop)
            launcher.wait(_CLOSING_SECONDS)
        finally:
            launcher.kill()
    if (code := launcher.returncode) < 0:
        _die_of(-code)
    return code


def lead() -> None:
    """Start the processes and wait for their end. The first argument is their number."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    number = int(sys.argv[1])
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=number,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="127.0.0.1",
        max_restarts=0,
        monitor_interval=_LOOK_SECONDS,
    )
    try:
        elastic_launch(config, sys.executable)("-c", _program("be_rank"))
    except ChildFailedError as error:
        codes = [failure.exitcode for failure in error.failures.values()]
        print(f"exit codes of {len(codes)} of {number} processes: {codes}", flush=True)
        if (worst := min(codes)) < 0:
            _die_of(-worst)
        sys.exit(max(codes))


def _die_of(number: int) -> None:
    """End this process by a signal, whatever it does with such otherwise."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def be_rank() -> None:
    """The life of one of the processes."""
    connection = Client(os.environ[_ADDRESS], "AF_UNIX")
    connection.send(os.environ["RANK"])
    job, sys.argv = connection.recv()
    stop = threading.Event()
    threading.Thread(target=_heed, args=(connection, stop), daemon=True).start()

    def tell(event: Event) -> None:
        try:
            connection.send(event)
        except OSError:
            os._exit(1)

    code = 0
    try:
        ranks = Ranks.join()
        del os.environ["RANK"]  # the command is not torchrun's
        carry_out(job, tell, stop.is_set, ranks)
        ranks.leave()
    except Exception:  # the exit code tells the process that started this one
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    os._exit(code)


def _program(function: str) -> str:
    return f"from lwft_bench.execution.launching import {function}; {function}()"


def _heed(connection: Connection, stop: threading.Event) -> None:
    """Stop when that is told, and end with whoever is to hear of the cell."""
    try:
        while connection.recv() == _STOP:
            stop.set()
    finally:
        os._exit(1)


@contextmanager
def _door() -> Iterator[tuple[socket.socket, str]]:
    """A socket that this machine's processes can connect to, and its address."""
    with (
        tempfile.TemporaryDirectory(
            prefix="lwft-", dir="/tmp"
        ) as folder,  # paths of sockets are short
        socket.socket(socket.AF_UNIX) as door,
    ):
        address = str(Path(folder, "cell"))
        door.bind(address)
        door.listen()
        door.settimeout(_LOOK_SECONDS)
        yield door, address


def _accepted(door: socket.socket, launcher: subprocess.Popen[bytes], job: Job) -> list[Connection]:
    """Connections to the processes, which know then what they are to run; fewer if one has ended."""
    found: list[Connection] = []
    while len(found) < job.placement.processes and launcher.poll() is None:
        try:
            connection = Connection(door.accept()[0].detach())
            connection.recv()
            connection.send((job, sys.argv))
        except (TimeoutError, EOFError, OSError):
            continue
        found.append(connection)
    return found


def _relay(ranks: list[Connection], emit: Emit, stop: threading.Event) -> None:
    """Tell what the processes tell, until all connections have ended."""
    asked = False
    while ranks:
        for connection in wait(ranks, _LOOK_SECONDS):
            assert isinstance(connection, Connection)
            try:
                emit(connection.recv())
            except (EOFError, OSError):
                ranks.remove(connection)
        if stop.is_set() and not asked:
            asked = True
            for connection in ranks:
                with suppress(OSError):
                    connection.send(_STOP)
