"""Ctrl-C, SIGTERM and a closing terminal as something to ask about: no exception tears anything."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class StopRequests:
    """How often a stop has been asked for."""

    count: int = 0


@contextmanager
def stop_requests() -> Iterator[StopRequests]:
    """Count SIGINT, SIGTERM and SIGHUP instead of being ended by them. For the main thread."""
    requests = StopRequests()

    def count(*_: object) -> None:
        requests.count += 1

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    # What nohup has told this process not to hear stays unheard.
    heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, count) for number in heard}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
