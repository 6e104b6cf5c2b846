"""A run's cells, each with its result: read in processes where there are many."""

from __future__ import annotations

import marshal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import ValidationError

from lwft_bench.reporting.read.agreement import require_items, require_same
from lwft_bench.reporting.read.in_processes import in_processes
from lwft_bench.reporting.read.rows_of_cells import RowsOfCells
from lwft_bench.results.columns import cell_columns
from lwft_bench.results.store import RunStore
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.labels import label_of, short_options
from lwft_bench.schema.result import CellResult, StepMemory
from lwft_bench.schema.run import SuiteCell

_TOGETHER = 32
"""Cells that a process reads one after the other."""


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


def read_cells(
    store: RunStore,
    wanted: Sequence[SuiteCell | str],
    rows: RowsOfCells | None = None,
    waiting: Mapping[str, str] | None = None,
    meanwhile: Callable[[], object] = lambda: None,
) -> list[ReportedCell]:
    """Planned cells, and finished ones that are not, by their ids.

    Args:
        rows: gets the cells' rows; None: they are only looked at.
        waiting: why a cell cannot run yet, by its id.
        meanwhile: what this process does while others read.
    """
    if wanted:
        _read_packed(store)
    parts = [wanted[at : at + _TOGETHER] for at in range(0, len(wanted), _TOGETHER)]
    part = partial(_read_part, store, waiting=waiting or {}, with_rows=rows is not None)
    cells: list[ReportedCell] = []
    for some, own in in_processes(part, parts, meanwhile=meanwhile):
        cells += some
        if rows is not None:
            rows.take(own)
    return cells


def _read_packed(store: RunStore) -> None:
    """Once for all processes; whatever is wrong with it, each cell tells."""
    with suppress(UserError):
        store.packed  # noqa: B018


def _read_part(
    store: RunStore,
    wanted: Sequence[SuiteCell | str],
    *,
    waiting: Mapping[str, str],
    with_rows: bool,
) -> tuple[list[ReportedCell], RowsOfCells]:
    rows = RowsOfCells()
    read = _Reader(store, rows if with_rows else None)
    return [
        read.finished(one) if isinstance(one, str) else read.planned(one, waiting.get(one.id, ""))
        for one in wanted
    ], rows


class _Reader:
    """Of cells one after the other. rows: gets the cells' rows."""

    def __init__(self, store: RunStore, rows: RowsOfCells | None) -> None:
        self._store = store
        self._rows = rows
        self._steps: dict[bytes, StepMemory] = {}

    def planned(self, planned: SuiteCell, waiting: str) -> ReportedCell:
        """waiting: why it cannot run yet."""
        cell_id = planned.id
        if self._store.has_result(cell_id):
            return self.finished(cell_id, planned)
        status = "unfinished" if self._store.work_folder(cell_id).exists() else "not run"
        return _without_result(planned, status, waiting)

    def finished(self, cell_id: str, planned: SuiteCell | None = None) -> ReportedCell:
        """One that has a result, whatever became of it."""
        folder = self._store.cell_folder(cell_id)
        try:
            result, config = self._store.read_result(cell_id), self._store.config(cell_id)
            require_same(folder, result, config)
            if result.status == "done":
                rows = cell_columns(self._store, cell_id)
                require_items(folder, result, rows.samples["benchmark"], rows.samples["id"])
                if self._rows is not None:
                    self._rows.add(cell_id, rows)
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
            result=self._with_shared_steps(result),
            error=result.failure.error if result.failure else "",
        )

    def _with_shared_steps(self, result: CellResult) -> CellResult:
        """The memory over a step is most of a result, and the same for all seeds: kept once."""
        if result.memory is None or result.memory.step is None:
            return result
        step = result.memory.step
        step = self._steps.setdefault(marshal.dumps(tuple(step)), step)
        memory = result.memory.model_copy(update={"step": step})
        return result.model_copy(update={"memory": memory})


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
