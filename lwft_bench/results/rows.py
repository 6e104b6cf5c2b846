"""Typed rows as lines of JSON."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from lwft_bench.results.atomic import write_text_atomic
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.regular_files import MAX_TEXT_BYTES, read_packed_record, read_record
from lwft_bench.schema.rows import Row, SampleRow, SelectionHeader, SelectionRow, StepRow
from lwft_bench.schema.strict_reading import record_from_json

AnyRow = TypeVar("AnyRow", bound=Row)


@dataclass(frozen=True, slots=True)
class CellRows:
    """What a cell wrote down step by step and item by item."""

    samples: list[SampleRow]
    steps: list[StepRow]
    header: SelectionHeader
    selections: list[SelectionRow]


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Writes one line a row, in strict JSON; the file appears whole."""
    lines = (json.dumps(row.as_json(), allow_nan=False) + "\n" for row in rows)
    write_text_atomic(path, "".join(lines))


LARGE_NUMBER = re.compile(r"[eE]\+?\d{3}")
"""What a number that no float holds has in it; to parse every line twice would take as long again."""

PACKED = ".gz"
"""Added to the name of a file of rows that is compressed, as packed runs have them."""


def read_lines(path: Path) -> list[str]:
    """The lines of a file, or of the compressed one beside it; none where neither exists.

    Raises:
        UserError: It cannot be read, or is not UTF-8.
    """
    if not os.path.lexists(path):
        packed = path.with_name(path.name + PACKED)
        if not os.path.lexists(packed):
            return []
        return read_packed_record(packed, MAX_TEXT_BYTES).splitlines()
    return read_record(path, MAX_TEXT_BYTES).splitlines()


def typed_rows(kind: type[AnyRow], path: Path, lines: list[str], first: int = 1) -> list[AnyRow]:
    """The rows that the lines hold. first: the number of the first line in the file.

    Raises:
        UserError: A line is no such row; the message has its number.
    """
    rows = []
    for number, line in enumerate(lines, first):
        try:
            if LARGE_NUMBER.search(line):
                record_from_json(line)
            rows.append(kind.model_validate_json(line))
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            place = ".".join(map(str, problem["loc"]))
            raise UserError(
                f"{path}:{number}: not a {kind.__name__}: {place}{': ' if place else ''}"
                f"{problem['msg']}"
            ) from None
        except ValueError as error:
            raise UserError(f"{path}:{number}: not a {kind.__name__}: {error}") from None
    return rows


def read_selections(path: Path) -> tuple[SelectionHeader, list[SelectionRow]]:
    """The header and one row a period; both empty where there is no such file.

    Raises:
        UserError: A line is none, or selects a unit that the header has not.
    """
    head, *lines = read_lines(path) or ["{}"]
    (header,) = typed_rows(SelectionHeader, path, [head])
    rows = typed_rows(SelectionRow, path, lines, first=2)
    for number, row in enumerate(rows, 2):
        if header.units and any(not 0 <= unit < len(header.units) for unit in row.units):
            raise UserError(
                f"{path}:{number}: not a SelectionRow: units: there are {len(header.units)} units in "
                f"line 1, found {list(row.units)}"
            )
    return header, rows
