"""For how long a process has given no sign of life."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

LONGEST_GAP = 2.0
"""Between two looks; what is longer is a parent that was stopped itself, and counts for this much."""

BUSY_SHARE = 0.02
"""Of one processor's time: a process that uses so much is at work."""

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Silence:
    """Seconds without a sign of life, added up from one look to the next.

    A stopped process (by a terminal, a scheduler or a debugger) is not silent, and neither is one
    whose parent was stopped and could not hear it.
    """

    def __init__(
        self, pid: int, *, clock: Callable[[], float] = time.monotonic, proc: Path = Path("/proc")
    ) -> None:
        self._stat = proc / str(pid) / "stat"
        self._clock = clock
        self._looked = clock()
        self._busy_seconds = self._read()[1]
        self._seconds = 0.0

    def broken(self) -> None:
        """There was a sign of life."""
        self._seconds = 0.0

    def watch(self, *, works_in_silence: bool) -> float:
        """Looks at the process.

        Args:
            works_in_silence: Whether using the processor is a sign of life now.

        Returns:
            Seconds of silence.
        """
        now = self._clock()
        gap, self._looked = now - self._looked, now
        stopped, busy = self._read()
        used, self._busy_seconds = busy - self._busy_seconds, busy
        if stopped:
            return self._seconds
        if works_in_silence and used > BUSY_SHARE * gap:
            self._seconds = 0.0
        else:
            self._seconds += min(gap, LONGEST_GAP)
        return self._seconds

    def _read(self) -> tuple[bool, float]:
        """Whether the process is stopped, and its processor time; nothing where /proc says nothing."""
        try:
            fields = self._stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2]
        except OSError:
            return False, 0.0
        state, *numbers = fields.split()
        return state in "Tt", (int(numbers[10]) + int(numbers[11])) / _TICKS_PER_SECOND
