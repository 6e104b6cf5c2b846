"""A run directory as it lies on disk, read into typed records and pandas frames.

Nothing is averaged or judged here. Every cell of the suite is present: those without a result have
a status that says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from lwft_bench.reporting.read.agreement import require_items, require_same
from lwft_bench.reporting.read.by_cell import ByCell
from lwft_bench.reporting.read.flat import flatten
from lwft_bench.reporting.read.rows_of_cells import RowsOfCells
from lwft_bench.reporting.read.timings import ReportedTiming, reported_timing
from lwft_bench.reporting.read.tunings import ReportedTuning, reported_tunings, undecided
from lwft_bench.results.store import RunStore
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.claims import Claim
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.labels import label_of, short_options
from lwft_bench.schema.result import CellResult
from lwft_bench.schema.rows import NOT_SOUGHT as NOT_SOUGHT
from lwft_bench.schema.run import SuiteCell
from lwft_bench.schema.suite import Published
from lwft_bench.schema.tables import TableSpec


@dataclass(frozen=True)
class ReportedCell:
    """One cell: planned, unfinished or with a result.

    status: the result's status, or `not run`, `unfinished` (its work folder exists), `unreadable`.
    trains: False for the untrained model, whose one cell stands for every seed.
    config, result: None where the cell has no readable result.
    error: why it is not done, in one line.
    """

    id: str
    model: str
    method: str
    task: str
    seed: int
    ablation: dict[str, Any]
    status: str
    trains: bool
    config: Cell | None = None
    result: CellResult | None = None
    error: str = ""

    @property
    def done(self) -> bool:
        return self.status == "done"

    @property
    def options(self) -> tuple[str, ...]:
        """The ablated options, short: `temperature=0.1`."""
        return short_options(self.ablation)

    @property
    def label(self) -> str:
        """How the method stands in tables: `grass (temperature=0.1)` if an option is ablated."""
        return label_of(self.method, self.ablation)


@dataclass(frozen=True)
class RunRecords:
    """Everything a report is built from. The frames hold done cells only.

    results: one row a cell, whatever its status: every number of its result, with dotted names.
    samples: cell, benchmark, id, correct, overlap (exact, near, None or `NOT_SOUGHT`), cluster (of
        items that belong together, such as one template's; else the id); one row an item.
    steps: cell and the columns of steps.jsonl.
    selections: cell, step, num_steps, units, probabilities, scores, ages (lists or None); one row
        a period.
    units: cell, index, kind, depth, num_parameters.
    published: numbers of a paper, if the suite has any.
    tables, claims: the suite's own.
    tunings: what trials were made for; trials are in no frame and no comparison.
    other_trials: ids of trials in the directory that the suite as last run does not have.
    """

    folder: Path
    name: str
    title: str
    description: str
    baseline: str | None
    cells: tuple[ReportedCell, ...]
    results: pd.DataFrame
    samples: pd.DataFrame
    steps: pd.DataFrame
    selections: pd.DataFrame
    units: pd.DataFrame
    published: Published | None = None
    tables: Mapping[str, TableSpec] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()
    tunings: tuple[ReportedTuning, ...] = ()
    other_trials: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    timing: ReportedTiming = field(default_factory=ReportedTiming)

    @cached_property
    def samples_by_cell(self) -> ByCell:
        return ByCell(self.samples)

    @cached_property
    def steps_by_cell(self) -> ByCell:
        return ByCell(self.steps)

    @cached_property
    def selections_by_cell(self) -> ByCell:
        return ByCell(self.selections)

    @cached_property
    def units_by_cell(self) -> ByCell:
        return ByCell(self.units)


def read_run(folder: Path) -> RunRecords:
    """Read a run directory, whatever its state.

    Raises:
        UserError: the folder holds no run, or one of another schema version.
    """
    store = RunStore(folder)
    suite = store.read_suite()
    planned = {cell.id: cell for cell in suite.cells}
    waiting = undecided(suite)
    read = RowsOfCells()
    cells = [_planned_cell(store, cell, read, waiting.get(cell.id, "")) for cell in suite.cells]
    known = planned.keys() | {trial.id for trial in suite.trials}
    found = sorted(path.parent.name for path in folder.glob("cells/*/result.json"))
    others = [_finished_cell(store, name, read) for name in found if name not in known]
    added = [cell for cell in others if not (cell.config and cell.config.trial)]
    cells += added
    done = [cell.id for cell in cells if cell.done]
    timing = reported_timing(folder)
    frames = read.frames(done)
    return RunRecords(
        folder=folder,
        name=suite.name,
        title=suite.title or suite.name,
        description=suite.description,
        baseline=suite.baseline,
        cells=tuple(cells),
        results=pd.DataFrame([_flat_result(cell) for cell in cells]),
        samples=frames.samples,
        steps=frames.steps,
        selections=frames.selections,
        units=frames.units,
        published=suite.published,
        tables=suite.tables,
        claims=suite.claims,
        tunings=reported_tunings(suite, lambda trial: _planned_cell(store, trial, RowsOfCells())),
        other_trials=tuple(cell.id for cell in others if cell not in added),
        warnings=(*_warnings(cells, planned, added), *timing.warnings),
        timing=timing,
    )


def _planned_cell(
    store: RunStore, planned: SuiteCell, read: RowsOfCells, waiting: str = ""
) -> ReportedCell:
    """read: gets the cell's rows. waiting: why it cannot run yet."""
    cell_id = planned.id
    if (store.cell_folder(cell_id) / "result.json").exists():
        return _finished_cell(store, cell_id, read, planned)
    status = "unfinished" if store.work_folder(cell_id).exists() else "not run"
    return _without_result(planned, status, waiting)


def _finished_cell(
    store: RunStore, cell_id: str, read: RowsOfCells, planned: SuiteCell | None = None
) -> ReportedCell:
    try:
        result, config = store.read_result(cell_id), store.config(cell_id)
        require_same(store.cell_folder(cell_id), result, config)
        if result.status == "done":
            rows = store.rows(cell_id)
            require_items(store.cell_folder(cell_id), result, rows.samples)
            read.add(cell_id, rows)
    except (UserError, ValidationError) as error:
        message = error.message if isinstance(error, UserError) else str(error.errors()[0])
        if planned is None:
            return ReportedCell(
                cell_id, "?", cell_id, "?", 0, {}, "unreadable", True, error=message
            )
        return _without_result(planned, "unreadable", message)
    return ReportedCell(
        id=cell_id,
        model=result.model,
        method=result.method,
        task=result.task,
        seed=result.seed,
        ablation=result.ablation,
        status=result.status,
        trains=config.method.trains,
        config=config,
        result=result,
        error=result.failure.error if result.failure else "",
    )


def _without_result(planned: SuiteCell, status: str, error: str = "") -> ReportedCell:
    return ReportedCell(
        id=planned.id,
        model=planned.model,
        method=planned.method,
        task=planned.task,
        seed=planned.seed,
        ablation=planned.ablation,
        status=status,
        trains=f"--seed{planned.seed}" in planned.id,
        error=error,
    )


def _warnings(
    cells: Sequence[ReportedCell], planned: Mapping[str, SuiteCell], added: Sequence[ReportedCell]
) -> Iterator[str]:
    if added:
        names = ", ".join(cell.id for cell in added)
        yield f"In the run directory and shown, but not part of the suite as last run: {names}."
    known = {cell_id: cell.identity for cell_id, cell in planned.items() if cell.identity}
    stale = [
        cell.id
        for cell in cells
        if cell.result and cell.id in known and known[cell.id] != cell.result.identity
    ]
    waiting = [cell.id for cell in cells if cell.result and cell.id in planned.keys() - known]
    if waiting:
        yield (
            "Their tuning is not finished (or has no winner), and what is shown is of an earlier "
            f"one: {', '.join(waiting)}."
        )
    if stale:
        yield (
            f"Stale (config, plugin, data, model or protocol changed since): {', '.join(stale)}."
        )
    for cell in cells:
        if cell.status == "unreadable":
            yield f"{cell.id} could not be read and is in no figure: {cell.error}."
    yield from _told_of_results([cell.result for cell in cells if cell.result])


def _told_of_results(results: Sequence[CellResult]) -> Iterator[str]:
    """What results say of their own gaps, each once with the cells that say it."""
    told: dict[str, list[str]] = {}
    for result in results:
        for figure, reason in result.missing.items():
            told.setdefault(f"No figure for {figure} ({reason})", []).append(result.cell)
        training = result.training
        if training and training.lost_to_rounding:
            groups = ", ".join(training.lost_to_rounding)
            told.setdefault(f"Rounding lost every update of {groups}", []).append(result.cell)
        if training and training.dropped_examples:
            number = training.dropped_examples
            told.setdefault(
                f"{number} training examples were left out, since training.max_length leaves nothing "
                "of their target",
                [],
            ).append(result.cell)
    for what, cells in told.items():
        yield f"{what}: {', '.join(cells)}."


def _flat_result(cell: ReportedCell) -> dict[str, Any]:
    row: dict[str, Any] = {"cell": cell.id, "label": cell.label, "status": cell.status}
    if cell.result is None:
        return row
    left_out = {"provenance", "confounds", "failure", "missing", "phase_seconds"}
    record = cell.result.model_dump(mode="json", exclude=left_out)
    for score in record.pop("scores"):
        row[f"scores.{score['benchmark']}"] = score["value"]
    return row | {key: value for key, value in flatten(record) if not isinstance(value, list)}
