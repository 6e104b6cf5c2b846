"""A suite's plan as text: what each cell needs, what to change, and what differs between methods."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pandas as pd

from lwft_bench.cell.measurements import confounds
from lwft_bench.cell.model_confounds import model_confounds
from lwft_bench.dry_run.steps import longest
from lwft_bench.dry_run.traits import traits_of
from lwft_bench.planning.budget import Allowance
from lwft_bench.planning.plan import Spread
from lwft_bench.planning.published import published_peaks
from lwft_bench.planning.suite_plan import PlanRow, SuitePlan
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.markdown import to_titled_markdown
from lwft_bench.reporting.render.table import Table
from lwft_bench.reporting.tables.confounds import what_differs
from lwft_bench.schema.cell import Cell


def as_text(plan: SuitePlan) -> str:
    """Markdown: tables of needs, by phase and by component, and a confound table a model."""
    rows = _one_a_kind(plan.rows)
    tables = [
        _needs(plan, rows),
        *published_peaks(plan, rows),
        *_memory(rows),
        *_confounds(plan),
    ]
    return "\n".join(map(to_titled_markdown, tables))


def _one_a_kind(rows: list[PlanRow]) -> dict[str, PlanRow]:
    """Label -> plan, cells that differ by their seed alone as one."""
    found: dict[str, PlanRow] = {}
    for row in rows:
        found.setdefault(_label(row.plan.cell), row)
    return found


def _label(cell: Cell) -> str:
    return cell.id.replace(f"--seed{cell.seed}", "")


def _needs(plan: SuitePlan, rows: dict[str, PlanRow]) -> Table:
    display = []
    for label, row in rows.items():
        needed = row.plan.needed
        line = {"cell": label}
        if needed is not None:
            line |= {
                "peak": show.memory(needed.peak_bytes),
                "in": max(needed.phases, key=lambda phase: needed.phases[phase]),
                "a step, least / mean / most": _spread(needed.step_peaks),
                "with allowance": show.memory(
                    needed.rounded_peak_bytes + Allowance.of(needed).total
                ),
                "host": show.memory(needed.host_bytes_allocated),
                "moved a step": show.memory(needed.moved_bytes.maximum),
                "FLOP a step": show.flops(needed.flops.mean),
                "trained": show.count(needed.trained_parameters),
            }
        display.append(line | {"fits": _fits(row)})
    shown = pd.DataFrame(display).fillna(show.NOTHING)
    return Table(
        name="plan",
        title=f"{plan.suite.title or plan.suite.name}: what each cell needs"
        + (f" of {show.memory(plan.budget)}" if plan.budget else ""),
        display=shown,
        values=shown,
        notes=tuple(_notes(plan, rows)),
        text_columns=("in", "fits"),
    )


def _spread(values: Spread) -> str:
    if values.minimum == values.maximum:
        return show.memory(values.maximum)
    each = (values.minimum, values.mean, values.maximum)
    return " / ".join(map(show.memory, each))


def _fits(row: PlanRow) -> str:
    if row.plan.problem is not None:
        return f"not plannable: {row.plan.problem}"
    if row.fits is None:
        return show.NOTHING
    if row.fits:
        return "yes"
    if row.change is None:
        return "no, and nothing tried makes it fit"
    settings = ", ".join(f"{key}={_value(value)}" for key, value in row.change.items())
    return f"no; with {settings}: {show.memory(row.changed_peak)}"


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _notes(plan: SuitePlan, rows: dict[str, PlanRow]) -> Iterator[str]:
    sources: dict[str, list[str]] = defaultdict(list)
    for label, row in rows.items():
        shapes = row.plan.batch.shapes
        size = f"{len(shapes)} x {shapes[0].rows} x {shapes[0].length} tokens"
        sources[f"{size}: {row.plan.batch.source}"].append(label)
    for source, labels in sources.items():
        yield f"Batch {source}" + ("." if len(sources) == 1 else f" ({', '.join(labels)}).")
    yield (
        "Peak: every tensor of the trainer's own step on fake tensors, the dearest selection "
        "with the state of all units that may have been trained by then; not hand formulas. "
        "Temporaries within a kernel are not seen."
    )
    parts = {label: row.plan.cell.training.sharded for label, row in rows.items()}
    if shared := [f"{label}, of {number}" for label, number in parts.items() if number]:
        yield (
            "Of one of the processes that share out the model: its rows of weights, gradients and "
            "state, what is gathered for a layer, and its part of the batch. What streams of an "
            f"accelerator keep for longer is not seen ({'; '.join(shared)})."
        )
    if even := [label for label, row in rows.items() if row.plan.even_choices]:
        yield (
            "What these need depends on which experts or blocks the model chooses: planned as if all "
            f"were chosen equally often ({', '.join(even)})."
        )
    needed = next((row.plan.needed for row in rows.values() if row.plan.needed), None)
    if needed is not None:
        allowance = Allowance.of(needed)
        yield (
            "With allowance: rounded to the allocator's blocks of 512 B, plus what is allowed and "
            f"not planned: {show.memory(allowance.context)} for the device's context, "
            f"{show.memory(allowance.workspaces)} for cuBLAS, 2% for fragmentation."
        )
    refused: dict[str, list[str]] = defaultdict(list)
    for cell_id, message in plan.refused.items():
        refused[message].append(cell_id)
    for message, ids in refused.items():
        yield f"Refused, as a run would: {', '.join(ids)}: {message}."
    if plan.untrained:
        yield f"Not trained, so not planned: {', '.join(plan.untrained)}."


def _memory(rows: dict[str, PlanRow]) -> Iterator[Table]:
    """A line a cell, as in the first table."""
    needed = {label: row.plan.needed for label, row in rows.items() if row.plan.needed}
    for name, title, found in (
        ("plan-phases", "Peak by phase", lambda one: one.phases),
        ("plan-components", "Components at the peak", lambda one: one.components),
    ):
        columns = dict.fromkeys(column for one in needed.values() for column in found(one))
        shown = pd.DataFrame(
            {"cell": label}
            | {column.replace("_", " "): show.memory(found(one).get(column)) for column in columns}
            for label, one in needed.items()
        )
        if needed:
            yield Table(name, title, shown, shown)


def _confounds(plan: SuitePlan) -> Iterator[Table]:
    """One table a model and task, unless there is only one method.

    Of values of an ablated option the first stands for all: what differs between them is in their ids.
    """
    compared: dict[tuple[str, str], dict[str, dict[int, dict[str, object]]]] = {}
    ablated = False
    for row in plan.rows:
        cell = row.plan.cell
        methods = compared.setdefault((cell.model.name, cell.task.name), {})
        by_seed = methods.setdefault(cell.method.name, {})
        if cell.seed in by_seed:
            ablated = True
            continue
        by_seed[cell.seed] = confounds(cell, cell.training.sharded or 1)
        if row.plan.needed:
            traits = traits_of(cell, longest(row.plan.batch.shapes))
            by_seed[cell.seed] |= model_confounds(cell, traits) | {
                "planned.trained_parameters": row.plan.needed.trained_parameters,
                "planned.flops_per_step": row.plan.needed.flops.mean,
            }
    for (model, task), methods in compared.items():
        if len(methods) > 1:
            shown, notes = what_differs(methods)
            yield Table(
                name=f"plan-confounds-{model}-{task}",
                title=f"{model} on {task}: what differs besides the method's name",
                display=shown,
                values=shown,
                notes=(*notes, "With the first value of what is ablated.") if ablated else notes,
                text_columns=tuple(shown.columns),
            )
