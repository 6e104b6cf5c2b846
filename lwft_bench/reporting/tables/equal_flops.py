"""Methods compared at equal floating-point operations and at equal memory."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, stdev

import pandas as pd

from lwft_bench.config.suite import AVERAGE
from lwft_bench.reporting.numbers.comparison import Comparison, Row
from lwft_bench.reporting.numbers.measurements import mean_or_none, memories, peak_bytes, trainings
from lwft_bench.reporting.read.records import ReportedCell, RunRecords
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Table

DIFFERENT = 1.01
"""Ratio of two costs from which they are called different."""

_FLOPS_NOTE = (
    "Budget: for each seed the operations that the cheapest method used in all, probing included. "
    "At equal operations: the last validation loss that was measured within the budget, nothing "
    "interpolated, so that a method is never credited with more than it paid for; `spent by then` "
    "says how much of the budget that was. The learning rate of a longer run is not yet decayed at "
    "that point: a run planned for the budget may do better. ±: standard deviation over seeds."
)
_MEMORY_NOTE = (
    "Each row takes one method's peak memory as the budget; the best are chosen among the methods "
    "whose own peak (the largest over seeds) fits within it. Equal steps, not equal operations."
)


@dataclass(frozen=True)
class Reached:
    """What a cell had reached within a budget. flops: spent by then; step: steps done by then."""

    loss: float
    flops: float
    step: int


def equal_flops_table(records: RunRecords, comparison: Comparison) -> Table | None:
    """Validation losses at the operations of the cheapest method; None if all use the same."""
    rows = [row for row in comparison.trained if trainings(row)]
    totals = {row.label: _total_flops(row) for row in rows}
    shared = sorted(set.intersection(*(set(found) for found in totals.values())) if totals else ())
    if not shared:
        return None
    means = [fmean(found[seed] for seed in shared) for found in totals.values()]
    if max(means) <= DIFFERENT * min(means):
        return None
    budgets = {seed: min(found[seed] for found in totals.values()) for seed in shared}
    display, values, missing = [], [], []
    for row in rows:
        cells = [cell for cell in row.done if cell.seed in budgets]
        found = {cell.seed: _reached(records, cell, budgets[cell.seed]) for cell in cells}
        known = {seed: one for seed, one in found.items() if isinstance(one, Reached)}
        reasons = dict.fromkeys(one for one in found.values() if isinstance(one, str))
        missing += [f"{row.label}: {reason}." for reason in reasons]
        complete = len(known) == len(shared)
        reached = list(known.values()) if complete else []
        shares = [one.flops / budgets[seed] for seed, one in known.items()] if complete else []
        ends = [_end(cell) for cell in cells]
        display.append(
            {
                "method": row.label,
                "FLOP in all": show.flops(fmean(totals[row.label][seed] for seed in shared)),
                "validation loss at equal steps": _spread([end for end in ends if end is not None]),
                "at equal FLOP": _spread([one.loss for one in reached]),
                "spent by then": show.spread(shares, lambda share: f"{100 * share:.0f} %"),
                "step": show.spread([one.step for one in reached], str),
            }
        )
        values += [
            {
                "model": comparison.model,
                "task": comparison.task,
                "method": row.label,
                "seed": cell.seed,
                "flops": totals[row.label][cell.seed],
                "flops_budget": budgets[cell.seed],
                "validation_loss": _end(cell),
                "validation_loss_within_budget": one.loss if one else None,
                "flops_spent": one.flops if one else None,
                "step": one.step if one else None,
            }
            for cell in cells
            for one in [known.get(cell.seed)]
        ]
    left_out = sorted({seed for found in totals.values() for seed in found}.difference(shared))
    if left_out:
        missing.append(f"Seeds that not every method has are left out: {left_out}.")
    return Table(
        name=f"equal_flops{comparison.suffix}",
        title=f"{comparison.model} on {comparison.task}: at equal floating-point operations",
        display=pd.DataFrame(display),
        values=pd.DataFrame(values),
        notes=(_FLOPS_NOTE, *missing),
    )


def _total_flops(row: Row) -> dict[int, int]:
    return {result.seed: result.training.flops for result in row.results if result.training}


def _end(cell: ReportedCell) -> float | None:
    assert cell.result is not None and cell.result.training is not None
    return cell.result.training.validation_loss_after


def _reached(records: RunRecords, cell: ReportedCell, budget: float) -> Reached | str:
    """The last validation within the budget, or what is missing and how to get it."""
    if _end(cell) is None:
        return "no validation loss; task.validation_examples gives one"
    steps = records.steps[records.steps["cell"] == cell.id]
    if "flops" not in steps or steps["flops"].isna().any():
        return "the operations of single steps are not recorded; run it again"
    # Of single steps they are rounded, so that their sum may pass the total by some operations.
    spent = steps["flops"].cumsum().clip(upper=_flops(cell))
    if "validation_loss" in steps:
        within = (spent <= budget) & steps["validation_loss"].notna() & (steps["step"] >= 0)
        if within.any():
            last = steps[within].iloc[-1]
            done = float(spent[within].iloc[-1])
            return Reached(float(last["validation_loss"]), done, int(last["step"]) + 1)
    affordable = int(((spent <= budget) & (steps["step"] >= 0)).sum())
    if not affordable:
        return "probing alone took more than the budget"
    return (
        f"no validation loss within the budget, which is {affordable} steps of it; "
        f"training.validate_every of at most {affordable} gives one"
    )


def _flops(cell: ReportedCell) -> int:
    assert cell.result is not None and cell.result.training is not None
    return cell.result.training.flops


def _spread(losses: list[float]) -> str:
    if not losses:
        return show.NOTHING
    return f"{fmean(losses):.4f}" + (f" ± {stdev(losses):.4f}" if len(losses) > 1 else "")


def equal_memory_table(comparison: Comparison) -> Table | None:
    """What is best within each method's peak memory; None if all need the same."""
    rows = [(peak, row) for row in comparison.trained if (peak := peak_bytes(row)) is not None]
    rows.sort(key=lambda pair: pair[0])
    if not rows or rows[-1][0] <= DIFFERENT * rows[0][0]:
        return None
    display, values = [], []
    for budget, owner in rows:
        fitting = [row for peak, row in rows if peak <= budget]
        losses = {row.label: loss for row in fitting if (loss := _loss(row)) is not None}
        scores = {row.label: row.accuracy[AVERAGE] for row in fitting if AVERAGE in row.accuracy}
        by_loss = min(losses, key=losses.__getitem__, default=None)
        by_score = max(scores, key=lambda label: scores[label].mean, default=None)
        display.append(
            {
                "within the memory of": owner.label,
                "peak memory": show.memory(budget),
                "methods that fit": show.listing([row.label for row in fitting]),
                "lowest validation loss": f"{by_loss} {losses[by_loss]:.4f}"
                if by_loss
                else show.NOTHING,
                "best average": f"{by_score} {show.accuracy(scores[by_score])}"
                if by_score
                else show.NOTHING,
            }
        )
        values.append(
            {
                "model": comparison.model,
                "task": comparison.task,
                "budget_of": owner.label,
                "budget_bytes": budget,
                "methods": ", ".join(row.label for row in fitting),
                "lowest_validation_loss_of": by_loss,
                "lowest_validation_loss": losses[by_loss] if by_loss else None,
                "best_average_of": by_score,
                "best_average": scores[by_score].mean if by_score else None,
            }
        )
    obtained = show.listing(
        list(dict.fromkeys(one.method for _, row in rows for one in memories(row)))
    )
    return Table(
        name=f"equal_memory{comparison.suffix}",
        title=f"{comparison.model} on {comparison.task}: at equal memory",
        display=pd.DataFrame(display),
        values=pd.DataFrame(values),
        notes=(f"{_MEMORY_NOTE} Memory: {obtained}.",),
        text_columns=("methods that fit", "lowest validation loss", "best average"),
    )


def _loss(row: Row) -> float | None:
    return mean_or_none([one.validation_loss_after for one in trainings(row)])
