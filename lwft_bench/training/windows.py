"""Readings over time: fetched now and then, timed, and gathered into what strategies observe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lwft_bench.memory.meters import synchronised_clock
from lwft_bench.schema.rows import StepRow
from lwft_bench.strategies.base import Window
from lwft_bench.training.errors import Diverged
from lwft_bench.training.readings import Readings
from lwft_bench.training.trace import Trace

READING_INTERVAL = 10
"""Steps after which readings are fetched at the latest: one synchronisation, one progress line."""


Fetched = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Of steps whose readings were fetched: losses, scales of clipping, squared norms of units."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What there is to tell of steps whose readings were fetched: the last loss, their speed, and
    their rows.
    """

    loss: float
    tokens_per_second: float
    rows: tuple[StepRow, ...]


class Windows:
    """Fills in the loss and time of the trace's rows, and makes the windows.

    Steps count from -probing_steps. `first_step` is the first one of the window being gathered.
    """

    def __init__(
        self, readings: Readings, trace: Trace, unit_sizes: list[int], device: torch.device
    ) -> None:
        self._readings = readings
        self._trace = trace
        self._unit_sizes = np.array(unit_sizes, dtype=np.float64)
        self._device = device
        self.first_step = -trace.probing_steps
        self._fetched_to = self.first_step
        self._tables: list[Fetched] = []
        self._written = 0
        self._clock = 0.0

    def restart_clock(self) -> None:
        """What came before (a switch, a checkpoint, validation) is not part of the next steps' time."""
        self._clock = synchronised_clock(self._device)

    def is_due(self, step: int) -> bool:
        """Whether enough steps were done since the last fetch; `step` is the next one."""
        return step - self._fetched_to >= READING_INTERVAL

    def fetch(self, step: int) -> Reading | None:
        """Brings the readings of the steps before `step` to the host, and times these steps.

        Returns:
            What there is to tell of them, None if nothing was read since the last fetch.

        Raises:
            Diverged: a loss is not finite.
        """
        if step == self._fetched_to:
            return None
        losses, scales, squares = self._readings.fetch()
        now = synchronised_clock(self._device)
        first = len(self._trace.steps) - len(losses)
        rows = self._trace.steps[first:]
        total_seconds = now - self._clock
        for number, (row, loss) in enumerate(zip(rows, losses, strict=True), first):
            if not np.isfinite(loss):
                raise Diverged(f"the loss is {loss} at step {row.step}")
            read = {
                "loss": float(loss),
                "seconds": total_seconds / len(rows),
                # The first training steps warm caches up and allocate state: they are not timed.
                "timed": row.step >= READING_INTERVAL,
            }
            self._trace.steps[number] = row.model_copy(update=read)
        self._tables.append((losses, scales, squares))
        self._fetched_to = step
        self._clock = now
        speed = sum(row.tokens for row in rows) / max(total_seconds, 1e-9)
        return Reading(float(losses[-1]), speed, tuple(self._trace.steps[first:]))

    def take(self, step: int, *, probing: bool) -> Window:
        """The window up to `step`, all of it fetched; the next one starts there."""
        losses, scales, squares = (
            np.concatenate(parts) for parts in zip(*self._tables, strict=True)
        )
        rms = np.sqrt(squares / self._unit_sizes)
        window = Window(self.first_step, rms, losses, probing, clip_scale=scales)
        self._tables, self._written = [], 0
        self.first_step = step
        return window

    def unwritten(self) -> list[Fetched]:
        """What was fetched for the window being gathered and not given here before: a checkpoint's
        rows. To be called right after a fetch.
        """
        tables = self._tables[self._written :]
        self._written = len(self._tables)
        return tables

    def state_dict(self) -> dict[str, Any]:
        """All besides the rows, for a checkpoint; to be called right after a fetch."""
        return {
            "first_step": self.first_step,
            "to": self._fetched_to,
            "num_tables": len(self._tables),
        }

    def load_state_dict(self, state: dict[str, Any], tables: Sequence[Fetched]) -> None:
        """Takes what `state_dict` gave, and all that `unwritten` ever gave."""
        self.first_step, self._fetched_to = state["first_step"], state["to"]
        self._tables = list(tables[len(tables) - state["num_tables"] :])
        self._written = len(self._tables)
