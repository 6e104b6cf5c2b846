"""What the trials of a suite have decided so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from lwft_bench.schema.cell import Cell
from lwft_bench.schema.result import CellResult
from lwft_bench.suites.loading import Suite
from lwft_bench.suites.tuning import Candidate, Tuning

ResultOf = Callable[[Cell], CellResult | None]
"""The result of a trial as it is configured now; None while it has none."""


@dataclass(frozen=True)
class Choice:
    """chosen: None while trials are left, and if none of them has a validation loss.

    loss: the chosen one's mean validation loss.
    """

    tuning: Tuning
    ended: bool
    chosen: Candidate | None = None
    loss: float = math.inf

    @property
    def cells(self) -> Sequence[Cell]:
        """The cells that can run."""
        return self.chosen.cells if self.chosen else ()


def choices(suite: Suite, result_of: ResultOf) -> list[Choice]:
    """One for each tuning of the suite."""
    return [_choice(tuning, result_of) for tuning in suite.tunings]


def told(choice: Choice) -> str:
    """What it comes to, in one line."""
    cell = choice.tuning.cells[0]
    options = [f"{key}={value}" for key, value in cell.ablation.items()]
    name = "--".join([cell.model.name, cell.method.name, cell.task.name, *options])
    if not choice.ended:
        return f"{name}: trials are left, for which its cells wait"
    if choice.chosen is None:
        return f"{name}: no trial has a validation loss, so that its cells cannot run"
    values = ", ".join(f"{key}={value}" for key, value in choice.chosen.values.items())
    tried = len(choice.tuning.candidates)
    return f"{name}: {values} (validation loss {choice.loss:.4f}, the lowest of {tried})"


def _choice(tuning: Tuning, result_of: ResultOf) -> Choice:
    """The lowest mean loss; of equal ones the smaller values, of what are no numbers the first."""
    results = [[result_of(trial) for trial in one.trials] for one in tuning.candidates]
    if any(result is None for found in results for result in found):
        return Choice(tuning, ended=False)
    losses = [fmean(map(_validation_loss, found)) for found in results]
    best = min(range(len(losses)), key=lambda index: (losses[index], _size(tuning, index)))
    if losses[best] == math.inf:
        return Choice(tuning, ended=True)
    return Choice(tuning, True, tuning.candidates[best], losses[best])


def _validation_loss(result: CellResult | None) -> float:
    """After training; infinity where there is none, so that a trial that failed loses."""
    if result is None or result.training is None:
        return math.inf
    loss = result.training.validation_loss_after
    return math.inf if loss is None or math.isnan(loss) else loss


def _size(tuning: Tuning, index: int) -> tuple[float, ...]:
    """By what equally good candidates are ordered."""
    size = []
    for key, value in tuning.candidates[index].values.items():
        tried = [one.values[key] for one in tuning.candidates]
        numbers = all(isinstance(one, int | float) for one in tried)
        size.append(value if numbers else tried.index(value))
    return tuple(size)
