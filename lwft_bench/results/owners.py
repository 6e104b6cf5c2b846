"""Who works in a run directory: a process that a file names, and whether it still lives."""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Owner:
    """A process that runs cells.

    place: what processes must have in common to see each other: the host since it booted, and the
    container. process_start: when the process began, as the kernel counts it; a number that is given
    to another process later is told apart by it. token: of this runner alone.
    """

    host: str
    pid: int
    place: str
    process_start: str
    token: str

    @classmethod
    def this_process(cls) -> Owner:
        """A new runner in this process."""
        host, pid = socket.gethostname(), os.getpid()
        return cls(host, pid, _place(host), _process_start(pid) or "", uuid.uuid4().hex[:16])

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    def lives(self) -> bool | None:
        """Whether the process is there; None if that cannot be seen from here."""
        if self.place != _place(socket.gethostname()):
            return None
        start = _process_start(self.pid)
        if start is None and not self.process_start:
            return _answers(self.pid)
        return start == self.process_start


def _place(host: str) -> str:
    """A host that has booted again is another one; so is a container."""
    parts = [host]
    try:
        parts.append((_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(os.readlink(_PROC / "self/ns/pid"))
    except OSError:  # no /proc: only the host's name is known
        pass
    return " ".join(parts)


def _process_start(pid: int) -> str | None:
    """In clock ticks since the machine booted; None without such a process, or without /proc."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else fields[18]


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
