"""Validation losses at the operations of the cheapest method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import fmean

import numpy as np
import pandas as pd

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.measurements import DIFFERENT, trainings
from lwft_bench.reporting.numbers.rows import Row
from lwft_bench.reporting.numbers.statistics import mean_over_seeds
from lwft_bench.reporting.numbers.verdicts import compared_with_baseline, lowest_losses
from lwft_bench.reporting.read.records import ReportedCell, RunRecords
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Column, Table, plain_values, tabulate
from lwft_bench.reporting.tables.leading import about
from lwft_bench.reporting.tables.statistics_notes import left_out

_NOTE = (
    "Budget: for each seed the operations that the cheapest method used in all, probing included. "
    "At equal operations: the last validation loss measured within the budget, nothing interpolated; "
    "'spent by then': how much of the budget that was. The learning rate of a longer run is not yet "
    "decayed at that point: a run planned for the budget may do better. ±: one standard error "
    "over seeds; †: the lowest at equal operations, and all that are not separable from it (paired by "
    "seed, Holm's correction for all pairs)."
)


@dataclass(frozen=True)
class _Cell:
    """What a cell had reached within its budget.

    end: validation loss after all its steps. loss: that at the budget, when `flops` were spent and
    `step` steps done; the three are None where `missing` says why.
    """

    label: str
    seed: int
    total: int
    budget: int
    end: float | None
    loss: float | None = None
    flops: float | None = None
    step: int | None = None
    missing: str = ""


@dataclass(frozen=True)
class _Line:
    """One method, over the seeds that all have."""

    label: str
    cells: tuple[_Cell, ...]

    @property
    def reached(self) -> tuple[_Cell, ...]:
        """Empty where a seed has no loss within its budget, so that means are over the same seeds."""
        complete = all(cell.loss is not None for cell in self.cells)
        return self.cells if complete else ()


def build(context: Context) -> Table | None:
    """None if all methods use the same."""
    compared, others = compared_with_baseline(context.comparison)
    rows = [row for row in compared if trainings(row)]
    totals = {row.label: _total_flops(row) for row in rows}
    shared = sorted(set.intersection(*(set(found) for found in totals.values())) if totals else ())
    if not shared:
        return None
    means = [fmean(found[seed] for seed in shared) for found in totals.values()]
    if max(means) <= DIFFERENT * min(means):
        return None
    budgets = {seed: min(found[seed] for found in totals.values()) for seed in shared}
    lines = [
        _Line(
            row.label,
            tuple(
                _reached(context.records, row.label, cell, budgets[cell.seed])
                for cell in row.done
                if cell.seed in budgets
            ),
        )
        for row in rows
    ]
    return tabulate(
        context.name("equal_flops"),
        context.title("at equal floating-point operations"),
        lines,
        _columns(lines),
        notes=[_NOTE, *_missing(lines, totals, shared), *left_out(others)],
        values=plain_values([cell for line in lines for cell in line.cells], _long(context)),
    )


def _total_flops(row: Row) -> dict[int, int]:
    return {
        result.seed: result.training.flops
        for result in row.results
        if result.training and result.training.flops is not None
    }


def _missing(
    lines: list[_Line], totals: Mapping[str, Mapping[int, int]], shared: list[int]
) -> Iterator[str]:
    for line in lines:
        for reason in dict.fromkeys(cell.missing for cell in line.cells if cell.missing):
            yield f"{line.label}: {reason}."
    left_out = sorted({seed for found in totals.values() for seed in found}.difference(shared))
    if left_out:
        yield f"Seeds that not every method has are left out: {left_out}."


def _reached(records: RunRecords, label: str, cell: ReportedCell, budget: int) -> _Cell:
    """The last validation within the budget, or what is missing and how to get it."""
    assert cell.result is not None and cell.result.training is not None
    training = cell.result.training
    assert training.flops is not None, "a seed has a budget where every method's was counted"
    without = partial(
        _Cell, label, cell.seed, training.flops, budget, training.validation_loss_after
    )
    if training.validation_loss_after is None:
        return without(missing="no validation loss; task.validation_examples gives one")
    of = partial(records.steps_by_cell.values, cell.id)
    if "flops" not in records.steps or pd.isna(flops := of("flops")).any():
        return without(missing="the operations of single steps are not recorded; run it again")
    # Of single steps they are rounded, so that their sum may pass the total by some operations.
    spent = np.minimum(flops.cumsum(), training.flops)
    paid = (spent <= budget) & (of("step") >= 0)
    if "validation_loss" in records.steps:
        losses = of("validation_loss")
        within = np.flatnonzero(paid & ~pd.isna(losses))
        if len(within):
            last = within[-1]
            return without(
                loss=float(losses[last]), flops=float(spent[last]), step=int(of("step")[last]) + 1
            )
    affordable = int(paid.sum())
    if not affordable:
        return without(missing="probing alone took more than the budget")
    return without(
        missing=f"no validation loss within the budget, which is {affordable} steps of it; "
        f"training.validate_every of at most {affordable} gives one"
    )


def _ends(line: _Line) -> dict[int, float]:
    return {cell.seed: cell.end for cell in line.cells if cell.end is not None}


def _losses(line: _Line) -> dict[int, float]:
    return {cell.seed: cell.loss for cell in line.reached if cell.loss is not None}


def _mean(losses: dict[int, float], best: bool = False) -> str:
    return show.losses(mean_over_seeds([*losses.values()])) + (show.BEST if best else "")


def _shares(line: _Line) -> list[float]:
    return [cell.flops / cell.budget for cell in line.reached if cell.flops is not None]


def _columns(lines: list[_Line]) -> list[Column[_Line]]:
    best = lowest_losses({line.label: found for line in lines if (found := _losses(line))})
    return [
        Column("method", lambda line: line.label),
        Column("FLOP in all", lambda line: fmean(cell.total for cell in line.cells), show.flops),
        Column("validation loss at equal steps", lambda line: _ends(line) or None, _mean),
        Column(
            "at equal FLOP",
            lambda line: (_losses(line), line.label in best) if _losses(line) else None,
            lambda one: _mean(*one),
        ),
        Column(
            "spent by then",
            _shares,
            lambda shares: show.spread(shares, lambda share: f"{100 * share:.0f} %"),
        ),
        Column(
            "step",
            lambda line: [cell.step for cell in line.reached],
            lambda steps: show.spread(steps, str),
        ),
    ]


def _long(context: Context) -> list[Column[_Cell]]:
    return [
        *about(context),
        Column(None, lambda cell: cell.label, plain="method"),
        Column(None, lambda cell: cell.seed, plain="seed"),
        Column(None, lambda cell: cell.total, plain="flops"),
        Column(None, lambda cell: cell.budget, plain="flops_budget"),
        Column(None, lambda cell: cell.end, plain="validation_loss"),
        Column(None, lambda cell: cell.loss, plain="validation_loss_within_budget"),
        Column(None, lambda cell: cell.flops, plain="flops_spent"),
        Column(None, lambda cell: cell.step, plain="step"),
    ]
