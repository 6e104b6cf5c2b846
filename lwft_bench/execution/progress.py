"""The progress of a run, as people see it: a live view on a terminal, plain lines in a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lwft_bench.cell.outcomes import one_line
from lwft_bench.execution.metric_logs import MetricLogger, MetricLogs
from lwft_bench.execution.tracking import RunningCell, RunTracker
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.events import Event, Noted, Progressed, StepsDone
from lwft_bench.schema.result import CellResult

REDRAW_SECONDS = 0.25
LINE_SECONDS = 10.0
"""A cell's steps are told at most this often in a pipe."""

_COLUMNS = {"step": 7, "loss": 6, "tokens/s": 8, "memory": 8, "left": 5}
"""Widths that what usually stands in them does not change. 80 leave 41 for the cell's id."""


class PlainProgress:
    """One line for whatever happens."""

    def __init__(
        self, console: Console, tracker: RunTracker, logs: MetricLogs | None = None
    ) -> None:
        self.console = console
        self.tracker = tracker
        self._logs = logs or MetricLogs((), (), self.say)
        self._told: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._logs.close()

    def say(self, text: str) -> None:
        """Print text as it is: no markup, no colours of its own, no breaks but the terminal's."""
        self.console.print(Text(text), soft_wrap=True)

    def started(self, cell_id: str, resumed: bool) -> None:
        self._begin(cell_id)
        self._told[cell_id] = self.tracker.clock()
        self.say(f"{cell_id}: " + ("goes on from its checkpoint" if resumed else "started"))

    def _begin(self, cell_id: str) -> None:
        self.tracker.start(cell_id)
        self._logs.started(cell_id)

    def _take(self, cell_id: str, event: Event) -> RunningCell:
        self._logs.event(cell_id, event)
        return self.tracker.take(cell_id, event)

    def event(self, cell_id: str, event: Event) -> None:
        cell = self._take(cell_id, event)
        now = self.tracker.clock()
        if isinstance(event, StepsDone) and now - self._told[cell_id] >= LINE_SECONDS:
            self._told[cell_id] = now
            self.say(f"{cell_id}: {_step_line(cell, now)}")
        if isinstance(event, Progressed) and now - self._told[cell_id] >= LINE_SECONDS:
            self._told[cell_id] = now
            self.say(f"{cell_id}: {cell.phase} {event.done}/{event.total}")
        if isinstance(event, Noted):
            self.say(f"{cell_id}: {event.text}")

    def finished(self, cell_id: str, result: CellResult) -> None:
        self._logs.ended(cell_id)
        seconds = self.tracker.finish(cell_id, result.status == "done")
        count = f"[{self.tracker.num_finished}/{self.tracker.to_do}]"
        self.say(f"{count} {cell_id}: {outcome(result)} ({_duration(seconds)})")

    def ended_elsewhere(self, result: CellResult) -> None:
        """Another runner has done the cell."""
        self.tracker.count(result.status == "done")
        count = f"[{self.tracker.num_finished}/{self.tracker.to_do}]"
        self.say(f"{count} {result.cell}: {outcome(result)} (by another runner)")

    def dropped(self, cell_id: str, why: str) -> None:
        """The cell ended, and is to run again, in this run or the next."""
        self._logs.ended(cell_id)
        self.tracker.drop(cell_id)
        self.say(f"{cell_id}: {why}")

    def tick(self) -> None:
        """Called a few times a second."""


class LiveProgress(PlainProgress):
    """The same lines but those of steps, above a table of the cells that run."""

    def __init__(
        self, console: Console, tracker: RunTracker, logs: MetricLogs | None = None
    ) -> None:
        super().__init__(console, tracker, logs)
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._drawn = float("-inf")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        self._live.stop()

    def started(self, cell_id: str, resumed: bool) -> None:
        self._begin(cell_id)
        if resumed:
            self.say(f"{cell_id}: goes on from its checkpoint")

    def event(self, cell_id: str, event: Event) -> None:
        self._take(cell_id, event)
        if isinstance(event, Noted):
            self.say(f"{cell_id}: {event.text}")

    def tick(self) -> None:
        now = self.tracker.clock()
        if now - self._drawn >= REDRAW_SECONDS:
            self._drawn = now
            self._live.update(self._view(now), refresh=True)

    def _view(self, now: float) -> Group:
        tracker = self.tracker
        left = tracker.seconds_left()
        parts = [
            f"{tracker.num_finished} of {tracker.to_do} cells",
            f"{len(tracker.running)} running",
            f"{tracker.num_failed} failed",
            _duration(tracker.elapsed_seconds),
        ]
        if left is not None:
            parts.append(f"about {_duration(left)} left")
        table = Table(box=None, expand=True, padding=(0, 1, 0, 0), pad_edge=False)
        table.add_column("cell", ratio=1, no_wrap=True, overflow="ellipsis")
        for name, width in _COLUMNS.items():
            table.add_column(name, justify="right", no_wrap=True, min_width=width)
        for cell in tracker.running.values():
            table.add_row(Text(cell.id), *(Text(value) for value in _columns(cell, now)))
        return Group(table, Text(", ".join(parts), no_wrap=True, overflow="ellipsis"))


def progress_on(
    console: Console,
    tracker: RunTracker,
    loggers: Sequence[MetricLogger] = (),
    cells: Sequence[Cell] = (),
) -> PlainProgress:
    """The view that fits where the output goes.

    Args:
        loggers: what takes metrics of `cells`, those that may run.
    """
    logs = MetricLogs(loggers, cells, lambda text: console.print(Text(text), soft_wrap=True))
    live = console.is_terminal and not console.is_dumb_terminal
    return (LiveProgress if live else PlainProgress)(console, tracker, logs)


def _columns(cell: RunningCell, now: float) -> tuple[str, str, str, str, str]:
    training = cell.phase in ("probe", "train", "validate") and cell.step is not None
    left = cell.seconds_left(now)
    return (
        f"{cell.step}/{cell.steps}" if training else cell.phase,
        "" if cell.loss is None else f"{cell.loss:.3f}",
        "" if cell.tokens_per_second is None else f"{cell.tokens_per_second:,.0f}",
        "" if cell.memory_bytes is None else _size(cell.memory_bytes),
        _duration(left) if training and left is not None else "",
    )


def _step_line(cell: RunningCell, now: float) -> str:
    parts = [f"step {cell.step}/{cell.steps}", f"loss {cell.loss:.3f}"]
    parts.append(f"{cell.tokens_per_second:,.0f} tokens/s")
    if cell.memory_bytes is not None:
        parts.append(_size(cell.memory_bytes))
    if (left := cell.seconds_left(now)) is not None:
        parts.append(f"{_duration(left)} left")
    return ", ".join(parts)


def outcome(result: CellResult) -> str:
    """A cell's result in a few words."""
    if result.failure is not None:
        return f"{result.status} in phase {result.failure.phase}: {one_line(result.failure.error)}"
    if result.average is None:
        loss = result.training.validation_loss_after if result.training else None
        return result.status if loss is None else f"{result.status}, validation loss {loss:.4f}"
    return f"{result.status}, accuracy {100 * result.average:.1f} %"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _size(num_bytes: int) -> str:
    """In MiB or GiB."""
    mebibytes = num_bytes / 2**20
    return f"{mebibytes / 1024:.1f} GiB" if mebibytes >= 1000 else f"{mebibytes:.0f} MiB"
