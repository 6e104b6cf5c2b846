"""The plan of a suite: its cells, whether they fit a budget, and what would make them fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from lwft_bench.planning.budget import Allowance, Change, fits, smallest_change
from lwft_bench.planning.plan import CellPlan, Planner
from lwft_bench.plugins.files import load_plugin
from lwft_bench.preflight.cells import check_cells, check_structures
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.findings import Findings
from lwft_bench.schema.run import plain_ablation
from lwft_bench.suites.loading import Suite


@dataclass(frozen=True, slots=True)
class PlanRow:
    """A cell's plan. fits: None without a budget. change: what makes it fit, and the peak then;
    None if it fits as it is or nothing does.
    """

    plan: CellPlan
    fits: bool | None = None
    change: Change | None = None
    changed_peak: int | None = None


@dataclass(frozen=True, slots=True)
class SuitePlan:
    """untrained: ids of the cells that do not train, which are not planned. refused: id -> message
    of the cells that a run would refuse, too.
    """

    suite: Suite
    budget: int | None
    rows: list[PlanRow]
    untrained: list[str]
    refused: dict[str, str] = field(default_factory=dict)


def plan_suite(
    suite: Suite, budget: int | None = None, tell: Callable[[str], None] = lambda text: None
) -> SuitePlan:
    """Plans every cell that trains; those that are tuned, with the first values of their grids.

    A cell that would be refused is left out, as a run goes on after it.

    tell: is told which cell is next, and before them all what a run would be refused for.

    Raises:
        UserError: Every cell is refused; with each of the reasons.
    """
    for plugin in {plugin: None for cell in suite.all_cells for plugin in cell.plugins}:
        load_plugin(plugin)
    _tell_findings(suite, tell)
    planner, dearest = Planner(), Planner(num_samples=0)
    advice: dict[str, tuple[Change, CellPlan] | None] = {}
    rows: list[PlanRow] = []
    refused: dict[str, UserError] = {}
    for cell in suite.all_cells:
        if not cell.method.trains:
            continue
        tell(cell.id)
        try:
            planned = planner.plan(cell)
        except UserError as error:
            refused[cell.id] = error
            continue
        if planned.needed is None or budget is None:
            rows.append(PlanRow(planned))
        elif fits(planned.needed, budget):
            rows.append(PlanRow(planned, True))
        else:
            key = planner.kind(cell)
            if key not in advice:
                advice[key] = smallest_change(cell, planned.needed, budget, dearest.plan)
            change, changed = advice[key] or (None, None)
            peak = changed.needed.peak_bytes if changed and changed.needed else None
            rows.append(PlanRow(planned, False, change, peak))
    if refused and not rows:
        findings = Findings()
        for reason in refused.values():
            findings.problem(reason.message, reason.hint)
        findings.placed(suite.placed).raise_problems()
    untrained = [cell.id for cell in suite.all_cells if not cell.method.trains]
    messages = {cell_id: error.message for cell_id, error in refused.items()}
    return SuitePlan(suite, budget, rows, untrained, messages)


def _tell_findings(suite: Suite, tell: Callable[[str], None]) -> None:
    """What can be planned need not run: its data may be elsewhere, or too long for the model."""
    runnable = [cell for cell in suite.all_cells if _has_tokenizer(cell)]
    others = [cell for cell in suite.all_cells if not _has_tokenizer(cell)]
    for findings in (check_cells(runnable, weights=False), check_structures(others)):
        found = findings.placed(suite.placed)
        for text, hint in found.problems.items():
            tell(f"`lwft-bench run` will refuse this: {text}" + (f"\n  {hint}" if hint else ""))
        for warning in found.warnings:
            tell(f"warning: {warning}")


def _has_tokenizer(cell: Cell) -> bool:
    return cell.model.path is not None or cell.model.tokenizer is not None


def as_json(plan: SuitePlan) -> dict[str, Any]:
    """All bytes are bytes; what is `null` is not known."""
    return {"cells": [_cell(row, plan.budget) for row in plan.rows], "refused": plan.refused}


def _cell(row: PlanRow, budget: int | None) -> dict[str, Any]:
    cell, needed = row.plan.cell, row.plan.needed
    found: dict[str, Any] = {
        "id": cell.id,
        "model": cell.model.name,
        "method": cell.method.name,
        "task": cell.task.name,
        "seed": cell.seed,
        "ablation": plain_ablation(cell.ablation),
        "batch": [asdict(shape) for shape in row.plan.batch.shapes],
        "batch_source": row.plan.batch.source,
        "budget_bytes": budget,
        "fits": row.fits,
        "change": row.change,
        "changed_peak_bytes": row.changed_peak,
        "problem": row.plan.problem,
        "even_choices": row.plan.even_choices,
    }
    if needed is None:
        return found | {"peak_bytes": None, "phases": {}, "components": {}, "host_bytes": None}
    allowance = Allowance.of(needed)
    return found | {
        "peak_bytes": needed.peak_bytes,
        "rounded_peak_bytes": needed.rounded_peak_bytes,
        "allowance_bytes": asdict(allowance) | {"total": allowance.total},
        "step_peak_bytes": asdict(needed.step_peaks),
        "phases": needed.phases,
        "components": needed.components,
        "component_peaks": needed.component_peaks,
        "host_bytes": needed.host_bytes_allocated,
        "host_state_bytes": needed.host_bytes,
        "moved_bytes_per_step": asdict(needed.moved_bytes),
        "flops_per_step": asdict(needed.flops),
        "trained_parameters": needed.trained_parameters,
        "active_parameters": asdict(needed.active_parameters),
        "total_parameters": needed.total_parameters,
        "selections_run": needed.num_selections,
    }
