"""Files of a run, read into types: whatever cannot be is named."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.regular_files import Unreadable, read_record
from lwft_bench.schema.result import SCHEMA_VERSION, CellResult
from lwft_bench.schema.run import CellRecord, SuiteRecord
from lwft_bench.schema.strict_reading import others_from_json, record_from_json

Versioned = TypeVar("Versioned", CellResult, SuiteRecord)
Parsed = TypeVar("Parsed", Cell, CellRecord)


class Damaged(UserError):
    """A file of a run is missing, cut or changed."""


def read_result_file(path: Path) -> CellResult:
    """A result, wherever it lies.

    Raises:
        UserError: If it cannot be read, or is of another schema version.
    """
    return validated(CellResult, path)


def read_cell_record(folder: Path) -> CellRecord:
    """What the cell in this folder is a cell of.

    Raises:
        UserError: If that cannot be read.
    """
    return parsed(CellRecord, folder / "identity.json")


def validated(model: type[Versioned], path: Path) -> Versioned:
    """The record in a file.

    Raises:
        Damaged: It cannot be read, or is no such record.
        UserError: It is of another schema version.
    """
    try:
        values = record_from_json(read_record(path))
        version = values.get("schema_version")
    except Unreadable as error:
        raise Damaged(error.message) from None
    except (ValueError, AttributeError, RecursionError) as error:
        raise Damaged(f"{path} cannot be read: {error}") from None
    if version != SCHEMA_VERSION:
        raise UserError(
            f"{path} has schema version {version}, and this lwft-bench reads {SCHEMA_VERSION}",
            "use the version of lwft-bench that wrote it, or another directory with --out",
        )
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise Damaged(f"{path} is not a {model.__name__}: {error}") from None


def parsed(model: type[Parsed], path: Path) -> Parsed:
    """The record in a file that has no version of its own.

    Raises:
        Damaged: It cannot be read, or is no such record.
    """
    try:
        text = read_record(path)
        others_from_json(text)  # one of before may have numbers that JSON has not
        return model.model_validate_json(text)
    except Unreadable as error:
        raise Damaged(error.message) from None
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{path} cannot be read: {error}") from None
