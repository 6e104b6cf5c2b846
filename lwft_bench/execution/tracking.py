"""Where a run stands: what the views of its progress show."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lwft_bench.schema.events import Event, PhaseBegan, StepsDone

_Clock = Callable[[], float]


@dataclass(slots=True)
class RunningCell:
    """One cell that runs now."""

    id: str
    started: float
    phase: str = "load"
    step: int | None = None
    steps: int = 0
    loss: float | None = None
    tokens_per_second: float | None = None
    memory_bytes: int | None = None
    first: tuple[float, int] | None = None
    """Time and number of the first step seen, which is not 0 in a resumed cell."""

    def take(self, event: Event, now: float) -> None:
        """Take in what the cell tells."""
        if isinstance(event, PhaseBegan):
            self.phase = event.phase
        elif isinstance(event, StepsDone):
            self.step, self.steps = event.step, event.steps
            self.loss = event.loss
            self.tokens_per_second = event.tokens_per_second
            self.memory_bytes = event.memory_bytes
            self.first = self.first or (now, self.step)

    def share(self) -> float:
        """Share of its steps that are done; evaluation, which tells no steps, counts as all."""
        return min(1.0, max(0.0, self.step / self.steps)) if self.step and self.steps else 0.0

    def seconds_left(self, now: float) -> float | None:
        """Time until its last step at the pace so far; None before there is one."""
        if self.first is None or self.step is None or self.step <= self.first[1]:
            return None
        pace = (now - self.first[0]) / (self.step - self.first[1])
        return pace * (self.steps - self.step)


@dataclass(slots=True)
class RunTracker:
    """The cells of a run that are to do, and how far they are."""

    to_do: int
    clock: _Clock = time.monotonic
    running: dict[str, RunningCell] = field(default_factory=dict)
    num_done: int = 0
    num_failed: int = 0
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()

    def start(self, cell_id: str) -> None:
        self.running[cell_id] = RunningCell(cell_id, self.clock())

    def take(self, cell_id: str, event: Event) -> RunningCell:
        cell = self.running[cell_id]
        cell.take(event, self.clock())
        return cell

    def finish(self, cell_id: str, done: bool) -> float:
        """Count the cell; gives the seconds it ran."""
        self.count(done)
        return self.drop(cell_id)

    def count(self, done: bool) -> None:
        """Count a cell that has ended."""
        if done:
            self.num_done += 1
        else:
            self.num_failed += 1

    def drop(self, cell_id: str) -> float:
        """Forget a cell that will run again; gives the seconds it ran."""
        return self.clock() - self.running.pop(cell_id).started

    @property
    def num_finished(self) -> int:
        return self.num_done + self.num_failed

    @property
    def elapsed_seconds(self) -> float:
        return self.clock() - self.started

    def seconds_left(self) -> float | None:
        """Estimate for all that is to do, at the pace so far; None before a cell has finished."""
        if not self.num_finished:
            return None
        behind = self.num_finished + sum(cell.share() for cell in self.running.values())
        return self.elapsed_seconds * (self.to_do - behind) / behind
