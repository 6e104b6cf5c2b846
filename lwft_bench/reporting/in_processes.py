"""Work for a report that is spread over processes, where there is much of it."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

_FEW = 4
"""So many pieces and more are worth processes."""
_MOST = 8
_work: Callable[[int], Any] | None = None
"""Inherited by the processes, with everything that it rests on."""

_Item = TypeVar("_Item")
_Found = TypeVar("_Found")


def in_processes(work: Callable[[_Item], _Found], items: Sequence[_Item]) -> list[_Found]:
    """`work` of each item, in their order.

    Processes are forked, so that nothing is handed to them but numbers; what they find is pickled.
    Where that is not safe (other threads, torch) or not possible, this process does it all.
    """
    global _work
    number = min(_processors(), len(items), _MOST)
    if number < 2 or len(items) < _FEW or not _safe_to_fork():
        return [work(item) for item in items]
    _work = lambda place: work(items[place])  # noqa: E731
    try:
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(number, mp_context=context) as pool:
            return list(pool.map(_of_place, range(len(items))))
    finally:
        _work = None


def _of_place(place: int) -> Any:
    assert _work is not None
    return _work(place)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def _safe_to_fork() -> bool:
    return (
        "fork" in multiprocessing.get_all_start_methods()
        and threading.active_count() == 1
        and "torch" not in sys.modules
    )


@contextmanager
def nothing_looked_through() -> Iterator[None]:
    """What there is on entry stays until the end, and is not looked through for garbage again and again.

    Processes that are forked inside share its memory for longer.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
