"""Looking at other processes, through /proc."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


def alive(pid: int) -> bool:
    """Whether the process exists and is not merely waiting for its parent to look."""
    fields = _stat(pid)
    return fields is not None and fields[0] != "Z"


def parent_of(pid: int) -> int:
    fields = _stat(pid)
    assert fields is not None
    return int(fields[1])


def children_of(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        fields = _stat(int(path.name))
        if fields is not None and int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(path.name))
    return found


def server_of(run: int) -> int | None:
    """The server of a run's cells, once there is one."""
    for pid in children_of(run):
        if b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    return None


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def _stat(pid: int) -> list[str] | None:
    """Fields after the name: state, parent and so on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
