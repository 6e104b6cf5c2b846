"""Metrics of running cells for TensorBoard, Weights & Biases and trackio.

They come from the rows of steps that cells tell of while they run, and carry the names of the columns
of `steps.jsonl`. A logger that fails is told of once and dropped: it never costs a cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from lwft_bench.cell.outcomes import one_line
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import described
from lwft_bench.schema.events import Event, StepsDone, Validated
from lwft_bench.schema.rows import StepRow

LOGGED = ("loss", "lr", "tokens", "target_tokens", "seconds", "validation_loss")
"""What is logged of a training step, in all loggers alike."""


class MetricLogger(Protocol):
    """What takes metrics of cells, several of which may run at once."""

    name: str

    def begin(self, cell: Cell) -> None:
        """The cell runs from now on, from its start or its checkpoint."""

    def log(self, cell_id: str, step: int, metrics: Mapping[str, float]) -> None:
        """Takes what is known of one step; called again for it when more is."""

    def end(self, cell_id: str) -> None:
        """The cell runs no more: everything is to be written."""


class MetricLogs:
    """Hands what cells tell to the loggers.

    Args:
        cells: those that may run.
        say: tells that a logger was dropped.
    """

    def __init__(
        self, loggers: Sequence[MetricLogger], cells: Sequence[Cell], say: Callable[[str], None]
    ) -> None:
        self._loggers = list(loggers)
        self._cells = {cell.id: cell for cell in cells}
        self._say = say
        self._running: set[str] = set()

    def started(self, cell_id: str) -> None:
        """The cell's process begins."""
        self._running.add(cell_id)
        self._each(lambda logger: logger.begin(self._cells[cell_id]))

    def event(self, cell_id: str, event: Event) -> None:
        """Logs what the event tells of steps; a step's validation loss comes after its row."""
        if isinstance(event, StepsDone):
            for row in event.rows:
                if row.step >= 0:
                    self._log(cell_id, row.step, _metrics(row))
        elif isinstance(event, Validated) and event.step > 0:
            self._log(cell_id, event.step - 1, {"validation_loss": event.loss})

    def ended(self, cell_id: str) -> None:
        """The cell's process has ended, however it did."""
        if cell_id in self._running:
            self._running.discard(cell_id)
            self._each(lambda logger: logger.end(cell_id))

    def close(self) -> None:
        """Ends what still runs."""
        for cell_id in sorted(self._running):
            self.ended(cell_id)

    def _log(self, cell_id: str, step: int, metrics: Mapping[str, float]) -> None:
        self._each(lambda logger: logger.log(cell_id, step, metrics))

    def _each(self, call: Callable[[MetricLogger], None]) -> None:
        for logger in list(self._loggers):
            try:
                call(logger)
            except Exception as error:  # whatever its package raises: no cell is lost to a logger
                self._loggers.remove(logger)
                why = one_line(described(error))
                self._say(f"warning: {logger.name} logs no more of this run ({why})")
                for cell_id in sorted(self._running):
                    with suppress(Exception):
                        logger.end(cell_id)


def _metrics(row: StepRow) -> dict[str, float]:
    values = {name: getattr(row, name) for name in LOGGED}
    return {name: float(value) for name, value in values.items() if value is not None}
