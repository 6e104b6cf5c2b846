"""A run directory as it lies on disk, read into typed records and pandas frames.

Nothing is averaged or judged here. Every cell of the suite is present: those without a result have
a status that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lwft_bench.reporting.read.by_cell import ByCell
from lwft_bench.reporting.read.cells import ReportedCell as ReportedCell
from lwft_bench.reporting.read.cells import read_cells
from lwft_bench.reporting.read.flat import flatten
from lwft_bench.reporting.read.rows_of_cells import RowsOfCells
from lwft_bench.reporting.read.timings import ReportedTiming, reported_timing
from lwft_bench.reporting.read.tunings import ReportedTuning, reported_tunings, undecided
from lwft_bench.results.store import RunStore
from lwft_bench.schema.claims import Claim
from lwft_bench.schema.result import CellResult
from lwft_bench.schema.rows import NOT_SOUGHT as NOT_SOUGHT
from lwft_bench.schema.run import SuiteCell
from lwft_bench.schema.suite import Published
from lwft_bench.schema.tables import TableSpec


@dataclass(frozen=True)
class RunRecords:
    """Everything a report is built from. The frames hold done cells only.

    samples: cell, benchmark, id, correct, overlap (exact, near, None or `NOT_SOUGHT`), cluster (of
        items that belong together, such as one template's; else the id); one row an item.
    steps: cell and the columns of steps.jsonl.
    selections: cell, step, num_steps, units, probabilities, scores, ages (lists or None); one row
        a period.
    units: cell, index, kind, depth, num_parameters.
    wordings: cell -> for each row of its samples a number that says in which words it was asked, and
        which answer expected.
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
    wordings: Mapping[str, np.ndarray] = field(default_factory=dict)

    @cached_property
    def results(self) -> pd.DataFrame:
        """One row a cell, whatever its status: every number of its result, with dotted names."""
        return pd.DataFrame([_flat_result(cell) for cell in self.cells])

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


def read_run(folder: Path, meanwhile: Callable[[], object] = lambda: None) -> RunRecords:
    """Read a run directory, whatever its state.

    Args:
        meanwhile: what this process does while others read, if there are so many cells.

    Raises:
        UserError: the folder holds no run, or one of another schema version.
    """
    store = RunStore(folder)
    suite = store.read_suite()
    planned = {cell.id: cell for cell in suite.cells}
    known = planned.keys() | {trial.id for trial in suite.trials}
    found = sorted(path.parent.name for path in folder.glob("cells/*/result.json"))
    unknown = [name for name in found if name not in known]
    read = RowsOfCells()
    cells = read_cells(store, [*suite.cells, *unknown], read, undecided(suite), meanwhile)
    others = cells[len(suite.cells) :]
    del cells[len(suite.cells) :]
    added = [cell for cell in others if not (cell.config and cell.config.trial)]
    cells += added
    done = [cell.id for cell in cells if cell.done]
    timing = reported_timing(folder)
    trials = {trial.id: trial for trial in read_cells(store, suite.trials)}
    frames = read.frames(done)
    return RunRecords(
        folder=folder,
        name=suite.name,
        title=suite.title or suite.name,
        description=suite.description,
        baseline=suite.baseline,
        cells=tuple(cells),
        samples=frames.samples,
        steps=frames.steps,
        selections=frames.selections,
        units=frames.units,
        published=suite.published,
        tables=suite.tables,
        claims=suite.claims,
        tunings=reported_tunings(suite, lambda trial: trials[trial.id]),
        other_trials=tuple(cell.id for cell in others if cell not in added),
        warnings=(*_warnings(cells, planned, added), *timing.warnings),
        timing=timing,
        wordings=frames.wordings,
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
    left_out = {"cell", "provenance", "confounds", "failure", "missing", "phase_seconds"}
    record = cell.result.model_dump(mode="json", exclude=left_out)
    for score in record.pop("scores"):
        row[f"scores.{score['benchmark']}"] = score["value"]
    return row | {key: value for key, value in flatten(record) if not isinstance(value, list)}
