"""The user's own data: files with one JSON object a line, every error located."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lwft_bench.errors import UserError

Record = TypeVar("Record")

MAX_PROBLEMS = 10
"""Problems of one file that are shown."""


class RowError(Exception):
    """A located problem of one line."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a file, as an object whose fields are checked when they are taken."""

    path: Path
    number: int
    """Counted from 1."""
    fields: dict[str, Any]

    def text(self, field: str) -> str:
        value = self._get(field)
        if not isinstance(value, str):
            raise self.error(field, "a text", value)
        return value

    def texts(self, field: str) -> tuple[str, ...]:
        value = self._get(field)
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise self.error(field, "a list of texts", value)
        return tuple(value)

    def error(self, field: str, expected: str, found: Any) -> RowError:
        shown = json.dumps(found, ensure_ascii=False)
        return RowError(
            f"{self.path}:{self.number}: {field}: expected {expected}, found {shown[:60]}"
        )

    def _get(self, field: str) -> Any:
        if field not in self.fields:
            raise RowError(
                f"{self.path}:{self.number}: no field {field!r}; "
                f"there are {', '.join(map(repr, self.fields)) or 'none'}"
            )
        return self.fields[field]


def read_json_lines(path: Path, parse: Callable[[Row], Record]) -> list[Record]:
    """Every line that is not blank, through `parse`.

    Raises:
        UserError: the file cannot be read, or lines are at fault: the first `MAX_PROBLEMS` of
            them, each as file:line.
    """
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    records: list[Record] = []
    problems: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            records.append(parse(_row(path, number, line)))
        except RowError as problem:
            problems.append(str(problem))
    if problems:
        if len(problems) > MAX_PROBLEMS:
            problems[MAX_PROBLEMS:] = [f"and {len(problems) - MAX_PROBLEMS} more lines of {path}"]
        raise UserError("\n".join(problems))
    return records


def _row(path: Path, number: int, line: str) -> Row:
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as error:
        raise RowError(f"{path}:{number}: not JSON: {error.msg} (column {error.colno})") from None
    if not isinstance(fields, dict):
        raise RowError(f"{path}:{number}: expected an object, found {line.strip()[:60]}")
    return Row(path, number, fields)
