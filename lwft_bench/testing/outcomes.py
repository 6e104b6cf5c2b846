"""One check after another: what each says, how long it may take, and where it failed."""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from lwft_bench.schema.errors import described

MAX_CHECK_SECONDS = 4.0
"""What one check of a strategy may take: all together end within a minute, whatever it does."""
MAX_TORCH_CHECK_SECONDS = 30.0
"""What one check of an adapter or an optimizer may take."""

Subject = TypeVar("Subject")


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """One check's verdict; `detail` says what was seen."""

    name: str
    passed: bool
    detail: str


class CheckFailed(Exception):
    """The plugin does not pass the check; the message says how."""


def outcomes(
    checks: Mapping[str, Callable[[Subject], str]],
    subject: Subject,
    plugin: type,
    max_seconds: float,
) -> list[CheckOutcome]:
    """Runs every check on the subject.

    Args:
        checks: By name; each returns what it saw, or raises.
        subject: What the checks are given.
        plugin: The class that is checked: a failure is located in its file where it came through it.
        max_seconds: What one check may take.
    """
    return [_outcome(name, check, subject, plugin, max_seconds) for name, check in checks.items()]


def _outcome(
    name: str,
    check: Callable[[Subject], str],
    subject: Subject,
    plugin: type,
    max_seconds: float,
) -> CheckOutcome:
    try:
        with _time_limit(max_seconds):
            return CheckOutcome(name, True, check(subject))
    except CheckFailed as failure:
        return CheckOutcome(name, False, str(failure))
    except Exception as error:  # a plugin's code may raise anything
        frames = traceback.extract_tb(error.__traceback__)
        source = getattr(sys.modules[plugin.__module__], "__file__", None)
        last = [frame for frame in frames if frame.filename == source][-1:] or frames[-1:]
        where = f"{last[0].filename}:{last[0].lineno}"
        return CheckOutcome(name, False, f"{described(error)} ({where})")


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raises TimeoutError inside when the time is up.

    Signals reach the main thread only: in another one there is no limit.
    """

    def stop(*_: object) -> None:
        raise TimeoutError(f"not done after {seconds:g} s")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    timer_before = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer_before)
        signal.signal(signal.SIGALRM, before)
