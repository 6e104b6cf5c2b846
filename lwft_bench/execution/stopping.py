"""Ctrl-C and SIGTERM as something to ask about, so that nothing is torn by an exception."""

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
    """Count SIGINT and SIGTERM instead of being ended by them. For the main thread."""
    requests = StopRequests()

    def count(*_: object) -> None:
        requests.count += 1

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, count) for number in numbers}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
