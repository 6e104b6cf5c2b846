"""Work for a report that is spread over processes, where there is much of it."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from lwft_bench.schema.errors import UserError

_FEW = 4
"""So many pieces and more are worth processes."""
_MOST = 8
_work: Callable[[int], Any] | None = None
"""Inherited by the processes, with everything that it rests on."""

_Item = TypeVar("_Item")
_Found = TypeVar("_Found")


def in_processes(work: Callable[[_Item], _Found], items: Sequence[_Item]) -> Iterator[_Found]:
    """`work` of each item, in their order.

    Processes are forked, so that nothing is handed to them but numbers; what they find is pickled.
    Where that is not safe (other threads, torch) or not possible, this process does it all. An
    interruption is this process's to heed: it ends the others.

    Raises:
        UserError: One of the processes was ended from outside; also what `work` raises.
    """
    global _work
    number = min(_processors(), len(items), _MOST)
    if number < 2 or len(items) < _FEW or not _safe_to_fork():
        yield from map(work, items)
        return
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        number, mp_context=multiprocessing.get_context("fork"), initializer=_begin
    )
    _work = lambda place: work(items[place])  # noqa: E731
    try:
        yield from pool.map(_of_place, range(len(items)))
    except BaseException as error:
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        if isinstance(error, BrokenProcessPool):
            raise UserError(
                "a process that made a part of the report was ended from outside",
                "where memory is short, one processor (taskset -c 0 ...) needs less of it",
            ) from None
        raise
    finally:
        _work = None
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _of_place(place: int) -> Any:
    assert _work is not None
    try:
        return _work(place)
    except UserError as error:  # others of its kind cannot all be pickled
        raise UserError(error.message, error.hint) from None


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
