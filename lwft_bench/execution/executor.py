"""What runs cells, wherever that is: the interface that a run knows of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

from lwft_bench.cell.outcomes import Ended
from lwft_bench.execution.worker import Job
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.events import Event


class Submitted(Protocol):
    """A cell that an executor runs."""

    @property
    def job(self) -> Job:
        """What was submitted."""

    @property
    def started(self) -> datetime:
        """When, in UTC."""

    @property
    def silent_seconds(self) -> float:
        """For how long it has given no sign of life, as far as that was watched."""

    def events(self) -> Iterator[Event]:
        """Events that have arrived since the last call; never waits."""

    def ended(self) -> Ended | None:
        """How it ended; None while it runs. Not to be called again after that."""

    def stop(self) -> None:
        """Ask the cell to write a checkpoint and end."""

    def kill(self) -> None:
        """End it at once."""

    def kill_as_hung(self) -> None:
        """End it, having had it write to its log where it is."""


class Executor(Protocol):
    """Runs cells.

    What a run directory looks like, resumption, identity and the rows of failures are none of its
    business: it takes a job with a work folder, and gives the folder back with what the cell wrote.
    """

    @property
    def threads(self) -> int:
        """CPU threads of a cell that does not name its own."""

    @property
    def works(self) -> bool:
        """Whether there is anything left that cells could run on."""

    def has_room(self, cell: Cell) -> bool:
        """Whether the cell would start at once."""

    def submit(self, job: Job) -> Submitted:
        """Start a cell in its work folder."""

    def wait(self, seconds: float) -> None:
        """Return when a cell has something to tell or has ended, and after `seconds` at the latest."""

    def collect(self, submitted: Submitted, ended: Ended) -> str | None:
        """Bring what a cell that has ended wrote into its job's folder, and free its place.

        Returns:
            Why it is to be started again, where its end was not its own doing; else None.
        """
