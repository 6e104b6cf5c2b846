"""The cells of a stage that are left, whichever of several runners does them."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from lwft_bench.results.claims import Claims
from lwft_bench.results.owners import Owner
from lwft_bench.results.store import RESULT, RunStore, State
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.result import CellResult
from lwft_bench.schema.run import Identity

LOOK_SECONDS = 1.0
"""Between looks at what other runners have and have done."""


@dataclass(frozen=True, slots=True)
class QueuedCell:
    """written: when a result that does not count any more was written; None without one."""

    cell: Cell
    identity: Identity
    written: int | None


class CellQueue:
    """Gives cells that nobody else runs, in order. What it gives is claimed until it is given back."""

    def __init__(
        self, store: RunStore, claims: Claims, cells: Iterable[tuple[Cell, Identity]]
    ) -> None:
        self._store = store
        self._claims = claims
        self._waiting = {
            cell.id: QueuedCell(cell, identity, _written_at(store, cell.id))
            for cell, identity in cells
        }
        self._taken: dict[str, QueuedCell] = {}
        self._ended_elsewhere: list[CellResult] = []
        self._elsewhere: dict[str, Owner | None] = {}
        self._look_at = 0.0

    @property
    def num_waiting(self) -> int:
        """Cells that have not ended and that this runner does not have, as far as was looked."""
        return len(self._waiting)

    @property
    def only_elsewhere(self) -> bool:
        """Whether others run all that is left."""
        return bool(self._waiting) and self._waiting.keys() <= self._elsewhere.keys()

    def archive(self) -> None:
        """Move results of other identities out of the way, but for what another runner sees to."""
        for queued in list(self._waiting.values()):
            cell_id = queued.cell.id
            if self._is_outdated(queued) and self._claims.acquire(cell_id):
                if self._is_outdated(queued):
                    self._store.archive(cell_id)
                self._claims.release(cell_id)

    def take(self, fits: Callable[[Cell], bool]) -> QueuedCell | None:
        """The first cell that nobody runs, if it fits; None if it does not, or there is none now."""
        self.look()
        for queued in list(self._waiting.values()):
            cell_id = queued.cell.id
            if cell_id in self._elsewhere:
                continue
            if not fits(queued.cell):
                return None
            if not self._claims.acquire(cell_id):
                self._elsewhere[cell_id] = None
                continue
            del self._waiting[cell_id]
            if self._is_left(queued):
                self._taken[cell_id] = queued
                return queued
            self._claims.release(cell_id)
        return None

    def holds(self, cell_id: str) -> bool:
        """Whether a cell that was taken is still this runner's."""
        return self._claims.holds(cell_id)

    def put_back(self, cell_id: str) -> None:
        """It is to run again, and next."""
        queued = self._taken.pop(cell_id)
        self._waiting = {cell_id: queued, **self._waiting}

    def drop(self, cell_id: str) -> None:
        """It has ended, or is left to whoever comes."""
        self._taken.pop(cell_id)
        self._claims.release(cell_id)

    def ended_elsewhere(self) -> Iterator[CellResult]:
        """Results that others have written since the last call."""
        while self._ended_elsewhere:
            yield self._ended_elsewhere.pop(0)

    def told_elsewhere(self) -> str:
        """Who runs what is left, in words."""
        owners = Counter(str(self._elsewhere[cell_id] or "?") for cell_id in self._waiting)
        parts = (f"{owner} has {number}" for owner, number in owners.items())
        return f"what is left runs elsewhere: {', '.join(parts)}; whoever dies is stood in for"

    def look(self) -> None:
        """See what others have and have done; no oftener than makes sense."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        self._elsewhere = self._claims.elsewhere()
        finished = _finished(self._store)
        for cell_id in [cell_id for cell_id in self._waiting if cell_id in finished]:
            queued = self._waiting[cell_id]
            if self._has_ended(queued):
                del self._waiting[cell_id]

    def _is_left(self, queued: QueuedCell) -> bool:
        """Looks again at a cell that is claimed now, and clears away what hinders it."""
        self._store.recover_cell(queued.cell.id)
        if self._has_ended(queued):
            return False
        if self._is_outdated(queued):
            self._store.archive(queued.cell.id)
        return True

    def _has_ended(self, queued: QueuedCell) -> bool:
        """Whether there is a result that was not there when the stage began."""
        written = _written_at(self._store, queued.cell.id)
        if written is None:
            return False
        state = self._store.state(queued.cell.id, queued.identity).state
        # What is done may have been done while this runner was still looking at what there is.
        if state is not State.DONE and (state is not State.FAILED or written == queued.written):
            return False
        self._ended_elsewhere.append(self._store.read_result(queued.cell.id))
        return True

    def _is_outdated(self, queued: QueuedCell) -> bool:
        state = self._store.state(queued.cell.id, queued.identity).state
        return state in (State.STALE, State.DAMAGED)


def _finished(store: RunStore) -> frozenset[str]:
    """Ids of all cells that are finished, well or not."""
    try:
        return frozenset(os.listdir(store.directory / "cells"))
    except FileNotFoundError:
        return frozenset()


def _written_at(store: RunStore, cell_id: str) -> int | None:
    """When a finished cell's result was written, in ns of the file system; None without one."""
    try:
        return (store.cell_folder(cell_id) / RESULT).stat().st_mtime_ns
    except OSError:
        return None
