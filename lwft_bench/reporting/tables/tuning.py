"""The tables of tuning: what was chosen and what it cost, and every trial."""

from __future__ import annotations

from typing import Any

import pandas as pd

from lwft_bench.reporting.numbers.comparison import Comparison
from lwft_bench.reporting.read.records import RunRecords
from lwft_bench.reporting.read.tunings import ReportedTuning, validation_loss
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Table
from lwft_bench.results.schema import CellResult

_NOTE = (
    "Chosen: the lowest validation loss after training, mean over the tuning seeds, which are none "
    "of the compared ones; of equal ones the smaller value. No benchmark was looked at. A candidate "
    "with a trial that is not done has lost. Sensitivity: the worst candidate's loss minus the "
    "best's, over those that have one. Cost: of all trials, probing included; it is in no other "
    "table."
)


def tuning_table(records: RunRecords, comparison: Comparison) -> Table | None:
    """What was chosen for each method, how much it mattered and what it cost to find out."""
    tunings = _of(records, comparison)
    if not tunings:
        return None
    values = [_values(tuning) for tuning in tunings]
    display = [_display(tuning, row) for tuning, row in zip(tunings, values, strict=True)]
    uncounted = sum(row["trials_not_done"] for row in values)
    notes = [_NOTE]
    if uncounted:
        notes.append(f"The cost of the {uncounted} trials that are not done was not recorded.")
    if records.other_trials:
        notes.append(
            f"{len(records.other_trials)} other trials lie in the run directory, of grids or "
            "methods that the suite as last run does not have; they decide and cost nothing here."
        )
    return Table(
        name=f"tuning{comparison.suffix}",
        title=f"{comparison.model} on {comparison.task}: tuning",
        display=pd.DataFrame(display),
        values=pd.DataFrame(values),
        notes=tuple(notes),
        text_columns=("chosen", "at the edge of its grid"),
    )


def trials_table(records: RunRecords, comparison: Comparison) -> Table | None:
    """Every trial."""
    rows: list[dict[str, Any]] = []
    for tuning in _of(records, comparison):
        for candidate in tuning.candidates:
            for trial in candidate.trials:
                rows.append(
                    {
                        "method": tuning.label,
                        "values": candidate.shown,
                        "seed": trial.seed,
                        "validation loss": validation_loss(trial),
                        "chosen": "yes" if candidate is tuning.chosen else "",
                        "status": trial.status,
                        "error": trial.error or show.NOTHING,
                    }
                )
    if not rows:
        return None
    values = pd.DataFrame(rows)
    display = values.assign(
        **{
            "seed": values["seed"].astype(str),
            "validation loss": [_loss(row["validation loss"]) for row in rows],
        }
    )
    return Table(
        name=f"trials{comparison.suffix}",
        title=f"{comparison.model} on {comparison.task}: trials",
        display=display,
        values=values.assign(model=comparison.model, task=comparison.task),
        notes=("Validation loss: after training, on the task's validation examples.",),
        text_columns=("values", "chosen", "status", "error"),
    )


def _of(records: RunRecords, comparison: Comparison) -> list[ReportedTuning]:
    return [
        tuning
        for tuning in records.tunings
        if (tuning.model, tuning.task) == (comparison.model, comparison.task)
    ]


def _values(tuning: ReportedTuning) -> dict[str, Any]:
    done = [trial.result for trial in tuning.trials if trial.done and trial.result]
    trained = [result.training for result in done if result.training]
    losses = tuning.losses
    return {
        "model": tuning.model,
        "task": tuning.task,
        "method": tuning.label,
        "chosen": tuning.chosen.shown if tuning.chosen else None,
        "validation_loss": tuning.chosen.loss if tuning.chosen else None,
        "sensitivity": max(losses) - min(losses) if losses else None,
        "edge": ", ".join(f"{end} {key}" for key, end in tuning.edges()),
        "candidates": len(tuning.candidates),
        "trials": len(tuning.trials),
        "trials_not_done": len(tuning.trials) - len(done),
        "steps": sum(one.optimizer_steps + one.probing_steps for one in trained),
        "flops": sum(one.flops for one in trained),
        "seconds": sum(map(_seconds, done)),
    }


def _display(tuning: ReportedTuning, row: dict[str, Any]) -> dict[str, str]:
    lost = len(tuning.candidates) - len(tuning.losses)
    seeds = len(tuning.candidates[0].trials)
    nothing = "no trial has a validation loss" if tuning.ended else "trials are left"
    return {
        "method": tuning.label,
        "chosen": row["chosen"] or nothing,
        "validation loss": _loss(row["validation_loss"]),
        "sensitivity": _loss(row["sensitivity"]) + (f" ({lost} without a loss)" if lost else ""),
        "at the edge of its grid": f"YES: {row['edge']}" if row["edge"] else "no",
        "trials": f"{row['candidates']} values x {seeds} seed{'' if seeds == 1 else 's'}",
        "steps": f"{row['steps']:,}",
        "FLOP": show.flops(row["flops"]),
        "seconds": f"{row['seconds']:,.1f}",
    }


def _seconds(result: CellResult) -> float:
    """Of training, probing and the strategy's statistics: what throughput is measured on."""
    spent = result.throughput
    if spent is None:
        return 0.0
    return spent.training_seconds + spent.probing_seconds + spent.measuring_seconds


def _loss(value: float | None) -> str:
    return show.NOTHING if value is None else f"{value:.4f}"
