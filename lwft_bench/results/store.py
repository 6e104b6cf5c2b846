"""A run directory: which cells are done, and where everything lies.

DIR/suite.yaml, suite.json     the suite as given, and as resolved
DIR/cells/<cell id>/           finished cells, failed ones too; a folder appears complete
DIR/work/<cell id>/            cells that are running or were interrupted
DIR/stale/<cell id>--<digest>/ results of another identity, replaced but not deleted
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from lwft_bench.results.atomic import (
    move_folder,
    publish_folder,
    write_json_atomic,
    write_text_atomic,
)
from lwft_bench.results.lock import run_lock
from lwft_bench.results.rows import read_lines, typed_rows
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.result import SCHEMA_VERSION, CellResult
from lwft_bench.schema.rows import SampleRow, SelectionHeader, SelectionRow, StepRow
from lwft_bench.schema.run import CellRecord, Identity, SuiteCell, SuiteRecord

Versioned = TypeVar("Versioned", CellResult, SuiteRecord)

RESULT = "result.json"
STEPS, SELECTIONS, SAMPLES = "steps.jsonl", "selections.jsonl", "samples.jsonl"
CHECKPOINT = "checkpoint-*"
"""A cell's checkpoints: folders in its work folder, with a dot in front while they are written.
Gone once the cell is done."""


class State(StrEnum):
    """What a run has to do about a cell."""

    NEW = "new"
    DONE = "done"
    FAILED = "failed"
    STALE = "stale"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class CellState:
    """`changed`: the identity components that made the cell stale."""

    state: State
    changed: tuple[str, ...] = ()


class RunStore:
    """The files of one run."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def cell_folder(self, cell_id: str) -> Path:
        return self.directory / "cells" / cell_id

    def work_folder(self, cell_id: str) -> Path:
        return self.directory / "work" / cell_id

    def lock(self) -> AbstractContextManager[None]:
        """Held by the one run that may write here."""
        return run_lock(self.directory)

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
        return _validated(SuiteRecord, path)

    # The life of a cell.

    def state(self, cell_id: str, identity: Identity) -> CellState:
        """What a cell of this identity needs.

        Raises:
            UserError: If its result is of another schema version.
        """
        if (self.cell_folder(cell_id) / RESULT).exists():
            result = self.read_result(cell_id)
            if result.identity != identity.digest:
                return _stale(result.identity_components, identity)
            return CellState(State.DONE if result.status == "done" else State.FAILED)
        work = self.work_folder(cell_id)
        if _has_checkpoint(work):
            record = read_cell_record(work)
            if record.digest != identity.digest:
                return _stale(record.components, identity)
            return CellState(State.INTERRUPTED)
        return CellState(State.NEW)

    def has_checkpoint(self, cell_id: str) -> bool:
        """Whether the cell's work folder has something to go on from."""
        return _has_checkpoint(self.work_folder(cell_id))

    def archive(self, cell_id: str) -> None:
        """Move what is there of the cell to `stale/`."""
        for folder in (self.cell_folder(cell_id), self.work_folder(cell_id)):
            if not folder.exists():
                continue
            stem = f"{cell_id}--{read_cell_record(folder).digest[:8]}"
            target, copies = self.directory / "stale" / stem, 1
            while target.exists():
                copies += 1
                target = target.with_name(f"{stem}-{copies}")
            move_folder(folder, target)

    def begin(self, cell: Cell, identity: Identity, threads: int) -> CellRecord:
        """Make the cell's work folder ready: with its checkpoint if it has one, else empty.

        A failed cell goes on from its checkpoint too; without one it is archived.
        """
        finished, work = self.cell_folder(cell.id), self.work_folder(cell.id)
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
        record = CellRecord(
            digest=identity.digest, components=dict(identity.components), threads=threads
        )
        write_text_atomic(work / "config.json", cell.model_dump_json(indent=2) + "\n")
        write_json_atomic(work / "identity.json", record.model_dump(mode="json"))
        return record

    def publish(self, cell_id: str) -> CellResult:
        """Move a work folder whose result is written to where finished cells are."""
        work = self.work_folder(cell_id)
        result = _validated(CellResult, work / RESULT)
        if result.status == "done":
            for checkpoint in (*work.glob(CHECKPOINT), *work.glob(f".{CHECKPOINT}")):
                shutil.rmtree(checkpoint)
        publish_folder(work, self.cell_folder(cell_id))
        return result

    def recover(self) -> None:
        """Publish cells whose run died after their result was written and before it appeared."""
        for path in (self.directory / "work").glob(f"*/{RESULT}"):
            self.publish(path.parent.name)

    def read_result(self, cell_id: str) -> CellResult:
        """A finished cell's result.

        Raises:
            UserError: If it cannot be read, or is of another schema version.
        """
        return _validated(CellResult, self.cell_folder(cell_id) / RESULT)

    def results(self) -> list[CellResult]:
        """The results of the suite's finished cells, failed ones too, in the suite's order."""
        return self._results(self.read_suite().cells)

    def trial_results(self) -> list[CellResult]:
        """The results of the suite's finished trials, failed ones too."""
        return self._results(self.read_suite().trials)

    def _results(self, cells: Iterable[SuiteCell]) -> list[CellResult]:
        finished = [c.id for c in cells if (self.cell_folder(c.id) / RESULT).exists()]
        return [self.read_result(cell_id) for cell_id in finished]

    def config(self, cell_id: str) -> Cell:
        """A finished cell as it was resolved."""
        return Cell.model_validate_json((self.cell_folder(cell_id) / "config.json").read_bytes())

    def samples(self, cell_id: str) -> list[SampleRow]:
        """One row an item of each benchmark; none if the cell was not evaluated.

        Raises:
            UserError: The file is damaged; so for the others.
        """
        path = self.cell_folder(cell_id) / SAMPLES
        return typed_rows(SampleRow, path, read_lines(path))

    def steps(self, cell_id: str) -> list[StepRow]:
        """One row a step, probing steps (numbered below zero) first."""
        path = self.cell_folder(cell_id) / STEPS
        return typed_rows(StepRow, path, read_lines(path))

    def selections(self, cell_id: str) -> tuple[SelectionHeader, list[SelectionRow]]:
        """The header and one row a period; both empty without training."""
        path = self.cell_folder(cell_id) / SELECTIONS
        header, *lines = read_lines(path) or ["{}"]
        (first,) = typed_rows(SelectionHeader, path, [header])
        return first, typed_rows(SelectionRow, path, lines, first=2)


def write_result(folder: Path, result: CellResult) -> None:
    """Write `result.json`, the last file of a work folder."""
    write_json_atomic(folder / RESULT, result.model_dump(mode="json"))


def read_cell_record(folder: Path) -> CellRecord:
    """What the cell in this folder is a cell of."""
    return CellRecord.model_validate_json((folder / "identity.json").read_text())


def _has_checkpoint(folder: Path) -> bool:
    return any(folder.glob(CHECKPOINT))


def _stale(before: Mapping[str, str], identity: Identity) -> CellState:
    names = dict.fromkeys([*identity.components, *before])
    changed = [name for name in names if before.get(name) != identity.components.get(name)]
    return CellState(State.STALE, tuple(changed))


def _validated(model: type[Versioned], path: Path) -> Versioned:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        version = values.get("schema_version")
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if version != SCHEMA_VERSION:
        raise UserError(
            f"{path} has schema version {version}, and this lwft-bench reads {SCHEMA_VERSION}",
            "use the version of lwft-bench that wrote it, or another directory with --out",
        )
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{path} is not a {model.__name__}: {error}") from None
