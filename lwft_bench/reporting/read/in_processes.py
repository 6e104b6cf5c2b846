"""Work for a report that is spread over processes, where there is much of it."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from lwft_bench.schema.errors import UserError

ENOUGH = 4
"""So many pieces and more are worth processes."""
_MOST = 8
_A_FIGURE = 50_000
"""Objects."""

_Item = TypeVar("_Item")
_Found = TypeVar("_Found")


def in_processes(
    work: Callable[[_Item], _Found],
    items: Sequence[_Item],
    enough: int | None = None,
    meanwhile: Callable[[], object] = lambda: None,
) -> Iterator[_Found]:
    """`work` of each item, in their order; processes begin with the first ones.

    Processes are forked, so that nothing is handed to them but numbers; what they find is pickled.
    Where that is not safe (other threads, torch) or not possible, this process does it all. An
    interruption is this process's to heed: it ends the others.

    Args:
        enough: so many items are worth processes; None: `ENOUGH`.
        meanwhile: what this process does once, beside the others.

    Raises:
        UserError: One of the processes was ended from outside; also what `work` raises.
    """
    number = min(_processors(), len(items), _MOST)
    if number < 2 or len(items) < (ENOUGH if enough is None else enough) or not _safe_to_fork():
        meanwhile()
        yield from map(work, items)
        return
    workers: dict[Connection, BaseProcess] = {}
    try:
        _begin(workers, number, lambda place: work(items[place]))
        yield from _found(workers, len(items), meanwhile)
    finally:
        for process in workers.values():
            process.terminate()
        for process in workers.values():
            process.join()


def _begin(workers: dict[Connection, BaseProcess], number: int, work: Callable[[int], Any]) -> None:
    """Forks them, each with a pipe of its own: one that is ended leaves no other one waiting."""
    context = multiprocessing.get_context("fork")
    # An interruption waits until each of them ignores it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        for _ in range(number):
            here, there = context.Pipe()
            ends = [*workers, here]
            process = context.Process(target=_serve, args=(there, ends, work), daemon=True)
            process.start()
            there.close()
            workers[here] = process
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, others: Sequence[Connection], work: Callable[[int], Any]) -> None:
    """In a forked process: answers numbers until there are none any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for other in others:  # so that it ends with the process that began it
        other.close()
    try:
        while True:
            place = pipe.recv()
            answer: tuple[Any, Exception | None]
            try:
                answer = work(place), None
            except UserError as error:  # others of its kind cannot all be pickled
                answer = None, UserError(error.message, error.hint)
            except Exception:  # whatever making it raises: the process that asked raises it
                answer = None, RuntimeError(traceback.format_exc())
            pipe.send(answer)
    except (EOFError, OSError):
        return


def _found(
    workers: dict[Connection, BaseProcess], number: int, meanwhile: Callable[[], object]
) -> Iterator[Any]:
    """What they answer to each of so many numbers, in order."""
    places = iter(range(number))
    asked: dict[Connection, int] = {}
    found: dict[int, Any] = {}

    def ask(pipe: Connection) -> None:
        place = next(places, None)
        if place is not None:
            asked[pipe] = place
            pipe.send(place)

    try:
        for pipe in workers:
            ask(pipe)
        meanwhile()
        for place in range(number):
            while place not in found:
                ready: list[Any] = wait(list(asked))
                for pipe in ready:
                    answer, error = pipe.recv()
                    if error is not None:
                        raise error
                    found[asked.pop(pipe)] = answer
                    ask(pipe)
            yield found.pop(place)
    except (EOFError, OSError):
        raise UserError(
            "a process that made a part of the report was ended from outside",
            "where memory is short, one processor (taskset -c 0 ...) needs less of it",
        ) from None


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def _safe_to_fork() -> bool:
    return (
        "fork" in multiprocessing.get_all_start_methods()
        and threading.active_count() == 1
        and "torch" not in sys.modules
        and not multiprocessing.current_process().daemon
    )


@contextmanager
def no_garbage_sought() -> Iterator[None]:
    """For reading, which makes millions of objects and nothing that counting references does not free:
    looking through them for garbage took half of the time of putting them together.
    """
    sought = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if sought:
            gc.enable()


@contextmanager
def nothing_looked_through() -> Iterator[None]:
    """What there is on entry stays until the end, and is not looked through for garbage again and again.

    Processes that are forked inside share its memory for longer. What is made inside is looked through,
    less often than usual: a figure is tens of thousands of objects, and nearly all of them go together.
    """
    sought, before = gc.isenabled(), gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_A_FIGURE, *before[1:])
    gc.enable()
    try:
        yield
    finally:
        gc.set_threshold(*before)
        if not sought:
            gc.disable()
        gc.unfreeze()
