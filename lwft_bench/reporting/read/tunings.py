"""What a run tuned: the trials with their results, and what they decided."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from lwft_bench.schema.run import SuiteCell, SuiteRecord, TuningRecord

if TYPE_CHECKING:
    from lwft_bench.reporting.read.records import ReportedCell


@dataclass(frozen=True)
class ReportedCandidate:
    """One combination of values and its trials, one a tuning seed."""

    values: dict[str, Any]
    trials: tuple[ReportedCell, ...]

    @property
    def shown(self) -> str:
        """`training.lr=0.003`."""
        return ", ".join(f"{key}={value}" for key, value in self.values.items())

    @property
    def losses(self) -> dict[int, float]:
        """Tuning seed -> validation loss, of the trials that have one."""
        losses = {trial.seed: validation_loss(trial) for trial in self.trials}
        return {seed: loss for seed, loss in losses.items() if loss is not None}

    @property
    def loss(self) -> float | None:
        """Mean validation loss over the seeds; None if a trial has none, which makes it lose."""
        return fmean(self.losses.values()) if len(self.losses) == len(self.trials) else None


@dataclass(frozen=True)
class ReportedTuning:
    """The candidates of one method (or one value of an ablated option) on one model and task.

    ended: all trials have a result. chosen: None if no candidate won (yet).
    """

    model: str
    task: str
    label: str
    candidates: tuple[ReportedCandidate, ...]
    ended: bool
    chosen: ReportedCandidate | None

    @property
    def trials(self) -> list[ReportedCell]:
        return [trial for candidate in self.candidates for trial in candidate.trials]

    @property
    def losses(self) -> list[float]:
        """Of the candidates that have one."""
        return [one.loss for one in self.candidates if one.loss is not None]

    def edges(self) -> Iterator[tuple[str, str]]:
        """Key paths whose chosen value is the smallest or the largest tried, and which of them."""
        for key, value in (self.chosen.values if self.chosen else {}).items():
            tried = [one.values[key] for one in self.candidates]
            if not all(isinstance(one, int | float) for one in tried) or min(tried) == max(tried):
                continue
            if value in (min(tried), max(tried)):
                yield key, "smallest" if value == min(tried) else "largest"


def validation_loss(trial: ReportedCell) -> float | None:
    """After training; None if the trial did not end."""
    if trial.result is None or trial.result.training is None:
        return None
    return trial.result.training.validation_loss_after


def reported_tunings(
    suite: SuiteRecord, cell_of: Callable[[SuiteCell], ReportedCell]
) -> tuple[ReportedTuning, ...]:
    """The suite's tunings with what their trials gave."""
    trials = {trial.id: cell_of(trial) for trial in suite.trials}
    return tuple(_tuning(record, trials) for record in suite.tunings)


def _tuning(record: TuningRecord, trials: dict[str, ReportedCell]) -> ReportedTuning:
    candidates = tuple(
        ReportedCandidate(one.values, tuple(trials[name] for name in one.trials))
        for one in record.candidates
    )
    return ReportedTuning(
        model=record.model,
        task=record.task,
        label=candidates[0].trials[0].label,
        candidates=candidates,
        ended=record.ended,
        chosen=next((one for one in candidates if one.values == record.chosen), None),
    )


def undecided(suite: SuiteRecord) -> dict[str, str]:
    """Id of each cell whose settings are not decided -> why."""
    return {
        cell_id: "no trial of its tuning has a validation loss"
        if tuning.ended
        else "its tuning is not finished"
        for tuning in suite.tunings
        if tuning.chosen is None
        for cell_id in tuning.cells
    }


def edge_warnings(tunings: Sequence[ReportedTuning]) -> Iterator[str]:
    """Grids that may not contain the optimum, one sentence each."""
    for tuning in tunings:
        for key, end in tuning.edges():
            assert tuning.chosen is not None
            yield (
                f"The best {key} tried for {tuning.label}, {tuning.chosen.values[key]}, is the {end} "
                "of its grid: its optimum may lie beyond. Widen the grid before comparing with it."
            )
