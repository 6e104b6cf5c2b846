"""Every trial of the tuning."""

from __future__ import annotations

from dataclasses import dataclass

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.read.records import ReportedCell
from lwft_bench.reporting.read.tunings import ReportedCandidate, ReportedTuning, validation_loss
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Column, Table, tabulate
from lwft_bench.reporting.tables.leading import about


@dataclass(frozen=True)
class _Trial:
    tuning: ReportedTuning
    candidate: ReportedCandidate
    cell: ReportedCell


def build(context: Context) -> Table | None:
    """None where nothing was tuned."""
    trials = [
        _Trial(tuning, candidate, trial)
        for tuning in context.tunings
        for candidate in tuning.candidates
        for trial in candidate.trials
    ]
    if not trials:
        return None
    return tabulate(
        context.name("trials"),
        context.title("trials"),
        trials,
        [*about(context), *_COLUMNS],
        notes=["Validation loss: after training, on the task's validation examples."],
    )


_COLUMNS: list[Column[_Trial]] = [
    Column("method", lambda one: one.tuning.label, plain="method"),
    Column("values", lambda one: one.candidate.shown, plain="values", text=True),
    Column("seed", lambda one: one.cell.seed, plain="seed"),
    Column("validation loss", lambda one: validation_loss(one.cell), show.loss, "validation loss"),
    Column(
        "chosen",
        lambda one: "yes" if one.candidate is one.tuning.chosen else "",
        plain="chosen",
        text=True,
    ),
    Column("status", lambda one: one.cell.status, plain="status", text=True),
    Column("error", lambda one: one.cell.error or show.NOTHING, plain="error", text=True),
]
