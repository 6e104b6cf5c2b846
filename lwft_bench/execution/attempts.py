"""Who may write in a cell's work folder, where cells run in processes that this machine cannot see.

DIR/attempts/<cell id>@<token>-<n>    the n-th try of a runner at the cell; says what it is to do

The process that runs the cell looks at its file several times a second. Once the file is gone, or the
runner's own in `claims/`, it ends the cell at once. Nobody begins the cell anew until it has had time
for that, so that a machine that was cut off and comes back does not write where another has gone on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from lwft_bench.schema.cell import Cell

CellOrder = Literal["go", "stop", "tell and end"]
"""To a running cell: go on; write a checkpoint and end; write to its log where it is and end."""

LOOK_AT_ORDERS_SECONDS = 0.2
SETTLE_SECONDS = 2.0
"""Between taking an attempt back and beginning the next: several looks, and the end of a process."""


class Attempts:
    """A runner's attempts.

    Args:
        runner: Its file in `claims/`, which changes when it begins anew as another runner.
    """

    def __init__(
        self,
        directory: Path,
        runner: Callable[[], Path],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = directory / "attempts"
        self._runner = runner
        self._clock = clock
        self._number = 0
        self._settled_at: dict[str, float] = {}

    def is_settled(self, cell: Cell) -> bool:
        """Whether what ran the cell before, for this runner or a dead one, is surely at its end."""
        for entry in self._entries():
            cell_id, _, tail = entry.rpartition("@")
            token = tail.partition("-")[0]
            if cell_id == cell.id and not self._runner().with_name(f"runner-{token}.json").exists():
                self._take_back(self._folder / entry)
        return self._clock() >= self._settled_at.get(cell.id, 0.0)

    def begin(self, cell: Cell) -> Path:
        """The file of a new attempt."""
        self._number += 1
        token = self._runner().stem.removeprefix("runner-")
        path = self._folder / f"{cell.id}@{token}-{self._number}"
        self._folder.mkdir(exist_ok=True)
        path.write_text("go", encoding="utf-8")
        return path

    def end(self, attempt: Path, *, seen: bool) -> None:
        """The attempt is over.

        Args:
            seen: Whether its process was seen to end; if not it may be at work still.
        """
        if not seen:
            self._take_back(attempt)
        attempt.unlink(missing_ok=True)
        with suppress(OSError):  # others are there
            self._folder.rmdir()

    def _take_back(self, attempt: Path) -> None:
        attempt.unlink(missing_ok=True)
        cell_id = attempt.name.rpartition("@")[0]
        self._settled_at[cell_id] = self._clock() + SETTLE_SECONDS

    def _entries(self) -> list[str]:
        try:
            return os.listdir(self._folder)
        except FileNotFoundError:
            return []


def give(attempt: Path, order: CellOrder) -> None:
    """Tell the process of an attempt what to do, unless the attempt is over."""
    with suppress(FileNotFoundError), attempt.open("r+", encoding="utf-8") as file:
        file.write(order)
        file.truncate()


def order_of(attempt: Path) -> str | None:
    """What an attempt's process is to do; None once the attempt is over.

    The file is opened each time, which is when clients of NFS ask the server.
    """
    try:
        return attempt.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except OSError:  # a server of files that is away for a while
        return ""
