"""A run directory: which cells are done, and where everything lies.

DIR/suite.yaml, suite.json     the suite as given, and as resolved
DIR/cells/<cell id>/           finished cells, failed ones too; a folder appears complete
DIR/work/<cell id>/            cells that are running or were interrupted
DIR/stale/<cell id>--<digest>/ results of another identity, replaced but not deleted
DIR/claims/                    who runs what now (`claims.py`)
DIR/attempts/                  what cells on other machines are to do (`execution/attempts.py`)
DIR/correctness.csv            of a packed run: in place of each cell's samples.jsonl
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from lwft_bench.results.atomic import (
    move_folder,
    publish_folder,
    strict_json,
    write_json_atomic,
    write_text_atomic,
)
from lwft_bench.results.correctness import read_correctness
from lwft_bench.results.reading import (
    Damaged,
    parsed,
    read_cell_record,
    read_result_file,
    validated,
)
from lwft_bench.results.rows import CellRows, read_lines, read_selections, typed_rows
from lwft_bench.results.states import CellState as CellState
from lwft_bench.results.states import State as State
from lwft_bench.results.states import changed, difference, stale
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.result import CellResult
from lwft_bench.schema.rows import SampleRow, SelectionHeader, SelectionRow, StepRow
from lwft_bench.schema.run import EVALUATION, CellRecord, Identity, SuiteCell, SuiteRecord

RESULT = "result.json"
TRAINED = "trained.json"
"""The result of a cell that is to be scored again, with the weights in `WEIGHTS`."""
WEIGHTS = "model"
"""Folder of a cell's fine-tuned weights, where they were kept."""
STEPS, SELECTIONS, SAMPLES = "steps.jsonl", "selections.jsonl", "samples.jsonl"
CHECKPOINT = "checkpoint-*"
"""A cell's checkpoints: folders in its work folder, with a dot in front while they are written.
Gone once the cell is done."""
TRACE = "trace.jsonl"
"""Beside them, as long as they are there: the rows of all steps so far."""


class RunStore:
    """The files of one run."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def cell_folder(self, cell_id: str) -> Path:
        return self.directory / "cells" / cell_id

    def work_folder(self, cell_id: str) -> Path:
        return self.directory / "work" / cell_id

    # The suite.

    def write_suite(self, suite: SuiteRecord, source: str) -> bool:
        """Note the suite that this directory holds from now on; tells whether it is a new one.

        Raises:
            UserError: If it holds another suite's cells.
        """
        earlier = self.read_suite() if (self.directory / "suite.json").exists() else None
        if earlier is not None and earlier.name != suite.name:
            raise UserError(
                f"{self.directory} holds a run of suite `{earlier.name}`, not `{suite.name}`",
                "give another directory with --out",
            )
        write_text_atomic(self.directory / "suite.yaml", source)
        write_json_atomic(self.directory / "suite.json", suite.model_dump(mode="json"))
        return suite != earlier

    def read_suite(self) -> SuiteRecord:
        """The suite of the last run here.

        Raises:
            UserError: If this is no run directory, or one of another version.
        """
        path = self.directory / "suite.json"
        if not path.exists():
            raise UserError(f"{self.directory} is not a run directory: it has no suite.json")
        return validated(SuiteRecord, path)

    # The life of a cell.

    def state(self, cell_id: str, identity: Identity) -> CellState:
        """What a cell of this identity needs.

        Raises:
            UserError: If its result is of another schema version.
        """
        try:
            return self._state(cell_id, identity)
        except Damaged as error:
            return CellState(State.DAMAGED, (" ".join(error.message.split())[:200],))

    def _state(self, cell_id: str, identity: Identity) -> CellState:
        if (self.cell_folder(cell_id) / RESULT).exists():
            result = self.read_result(cell_id)
            if result.identity != identity.digest:
                folder = self.cell_folder(cell_id)
                kept = result.status == "done" or (folder / TRAINED).exists()
                return changed(
                    result.identity_components, identity, kept and (folder / WEIGHTS).is_dir()
                )
            return CellState(State.DONE if result.status == "done" else State.FAILED)
        work = self.work_folder(cell_id)
        if (work / TRAINED).exists():
            before = read_cell_record(work).components
            if difference(before, identity) in ((), (EVALUATION,)):
                return CellState(State.UNSCORED)
            return stale(before, identity)
        if _has_checkpoint(work):
            record = read_cell_record(work)
            if record.digest != identity.digest:
                return stale(record.components, identity)
            return CellState(State.INTERRUPTED)
        return CellState(State.NEW)

    def has_result(self, cell_id: str) -> bool:
        """Whether the cell is finished, well or not."""
        return (self.cell_folder(cell_id) / RESULT).exists()

    def has_checkpoint(self, cell_id: str) -> bool:
        """Whether the cell's work folder has something to go on from."""
        return _has_checkpoint(self.work_folder(cell_id))

    def archive(self, cell_id: str) -> None:
        """Move what is there of the cell to `stale/`."""
        for folder in (self.cell_folder(cell_id), self.work_folder(cell_id)):
            if not folder.exists():
                continue
            try:
                stem = f"{cell_id}--{read_cell_record(folder).digest[:8]}"
            except Damaged:
                stem = f"{cell_id}--damaged"
            target, copies = self.directory / "stale" / stem, 1
            while target.exists():
                copies += 1
                target = target.with_name(f"{stem}-{copies}")
            move_folder(folder, target)

    def begin(self, cell: Cell, identity: Identity, threads: int) -> CellRecord:
        """Make the cell's work folder ready: with its checkpoint if it has one, else empty.

        A failed cell goes on from its checkpoint too; without one it is archived. One that is only to
        be scored again keeps its weights.
        """
        finished, work = self.cell_folder(cell.id), self.work_folder(cell.id)
        if self._begin_scoring(cell.id, identity):
            return _write_record(work, cell, identity, threads)
        if _has_checkpoint(finished):
            move_folder(finished, work)
            (work / RESULT).rename(work / "failure.json")
        elif finished.exists():
            self.archive(cell.id)
        if _has_checkpoint(work):
            return read_cell_record(work)
        if work.exists():
            shutil.rmtree(work)
        work.mkdir(parents=True)
        return _write_record(work, cell, identity, threads)

    def _begin_scoring(self, cell_id: str, identity: Identity) -> bool:
        """Makes a cell with kept weights ready to be scored, if that is all that is left to do."""
        finished, work = self.cell_folder(cell_id), self.work_folder(cell_id)
        if (finished / TRAINED).exists() and not _has_checkpoint(finished):
            move_folder(finished, work)  # scoring it failed
            (work / RESULT).rename(work / "failure.json")
        elif self.state(cell_id, identity).state is not State.UNSCORED:
            return False
        elif finished.exists():
            move_folder(finished, work)
            (work / RESULT).rename(work / TRAINED)
        return True

    def publish(self, cell_id: str) -> CellResult:
        """Move a work folder whose result is written to where finished cells are."""
        work = self.work_folder(cell_id)
        result = validated(CellResult, work / RESULT)
        if result.status == "done":
            (work / TRAINED).unlink(missing_ok=True)
            for checkpoint in (*work.glob(CHECKPOINT), *work.glob(f".{CHECKPOINT}")):
                shutil.rmtree(checkpoint)
            (work / TRACE).unlink(missing_ok=True)
        publish_folder(work, self.cell_folder(cell_id))
        return result

    def recover(self) -> None:
        """Publish all cells that `recover_cell` is about."""
        for path in (self.directory / "work").glob(f"*/{RESULT}"):
            self.recover_cell(path.parent.name)

    def recover_cell(self, cell_id: str) -> None:
        """Publish a cell whose run died after its result was written and before it appeared."""
        path = self.work_folder(cell_id) / RESULT
        if path.exists():
            try:
                self.publish(cell_id)
            except Damaged:
                path.rename(path.with_name(f"damaged-{RESULT}"))

    def read_result(self, cell_id: str) -> CellResult:
        """A finished cell's result.

        Raises:
            UserError: If it cannot be read, or is of another schema version.
        """
        return read_result_file(self.cell_folder(cell_id) / RESULT)

    def results(self) -> list[CellResult]:
        """The results of the suite's finished cells, failed ones too, in the suite's order."""
        return self._results(self.read_suite().cells)

    def trial_results(self) -> list[CellResult]:
        """The results of the suite's finished trials, failed ones too."""
        return self._results(self.read_suite().trials)

    def _results(self, cells: Iterable[SuiteCell]) -> list[CellResult]:
        found = []
        for cell in cells:
            if self.has_result(cell.id):
                with suppress(Damaged):  # told where it is looked at; the next run makes it again
                    found.append(self.read_result(cell.id))
        return found

    def config(self, cell_id: str) -> Cell:
        """A finished cell as it was resolved.

        Raises:
            UserError: If that cannot be read.
        """
        return parsed(Cell, self.cell_folder(cell_id) / "config.json")

    def rows(self, cell_id: str) -> CellRows:
        """All rows of a cell; raises UserError if a file of them is damaged."""
        samples, steps = self.samples(cell_id), self.steps(cell_id)
        return CellRows(samples, steps, *self.selections(cell_id))

    def samples(self, cell_id: str) -> list[SampleRow]:
        """One row an item of each benchmark; none if the cell was not evaluated.

        Raises:
            UserError: The file is damaged; so for the others.
        """
        path = self.cell_folder(cell_id) / SAMPLES
        lines = read_lines(path)
        return typed_rows(SampleRow, path, lines) if lines else self.packed.get(cell_id, [])

    @cached_property
    def packed(self) -> dict[str, list[SampleRow]]:
        """Samples without texts by cell, where the run is packed.

        Raises:
            UserError: The file of them is damaged.
        """
        return read_correctness(self.directory)

    def steps(self, cell_id: str) -> list[StepRow]:
        """One row a step, probing steps (numbered below zero) first."""
        path = self.cell_folder(cell_id) / STEPS
        return typed_rows(StepRow, path, read_lines(path))

    def selections(self, cell_id: str) -> tuple[SelectionHeader, list[SelectionRow]]:
        """The header and one row a period; both empty without training."""
        return read_selections(self.cell_folder(cell_id) / SELECTIONS)


def write_result(folder: Path, result: CellResult) -> None:
    """Write `result.json`, the last file of a work folder."""
    write_json_atomic(folder / RESULT, result.model_dump(mode="json"))


def _write_record(work: Path, cell: Cell, identity: Identity, threads: int) -> CellRecord:
    record = CellRecord(
        digest=identity.digest, components=dict(identity.components), threads=threads
    )
    write_text_atomic(work / "config.json", strict_json(cell.model_dump_json(indent=2)) + "\n")
    write_json_atomic(work / "identity.json", record.model_dump(mode="json"))
    return record


def _has_checkpoint(folder: Path) -> bool:
    return any(folder.glob(CHECKPOINT))
