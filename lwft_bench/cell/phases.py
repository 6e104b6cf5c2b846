"""How long a cell has been in each of its phases."""

from __future__ import annotations

import time
from collections import defaultdict

from lwft_bench.schema.events import Emit, Event, PhaseBegan


class PhaseClock:
    """Passes events on, and takes the time between those that begin a phase. The first one is `load`."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._phase: str = "load"
        self._since = time.perf_counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def emit(self, event: Event) -> None:
        """As the function that was given."""
        if isinstance(event, PhaseBegan):
            self._turn(event.phase)
        self._emit(event)

    def seconds(self) -> dict[str, float]:
        """By phase, up to now."""
        self._turn(self._phase)
        return dict(self._seconds)

    def _turn(self, phase: str) -> None:
        now = time.perf_counter()
        self._seconds[self._phase] += now - self._since
        self._phase, self._since = phase, now
