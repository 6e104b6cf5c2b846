"""The user's own data: files with one JSON object a line, every error located."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from lwft_bench.schema.errors import UserError

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

    def number_text(self, field: str) -> str:
        """A number, written as one or as a text."""
        value = self._get(field)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise self.error(field, "a number", value)
        return str(value)

    def truth(self, field: str) -> bool:
        value = self._get(field)
        if not isinstance(value, bool):
            raise self.error(field, "true or false", value)
        return value

    def inside(self, field: str) -> Row:
        """The mapping under a field, as a row of its own."""
        value = self._get(field)
        if not isinstance(value, dict):
            raise self.error(field, "a mapping", value)
        return Row(self.path, self.number, value)

    def each_inside(self, field: str) -> list[Row]:
        """The mappings in a list."""
        value = self._get(field)
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise self.error(field, "a list of mappings", value)
        return [Row(self.path, self.number, each) for each in value]

    def renamed(self, columns: Mapping[str, str]) -> Row:
        """With further fields: wanted name -> name of the column that holds it."""
        found = {name: self._get(column) for name, column in columns.items()}
        return Row(self.path, self.number, self.fields | found)

    def error(self, field: str, expected: str, found: Any) -> RowError:
        shown = json.dumps(found, ensure_ascii=False, default=str)
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
    written = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    return parse_rows(path, (partial(_row, path, *line) for line in written), parse)


def parse_rows(
    path: Path, rows: Iterable[Callable[[], Row]], parse: Callable[[Row], Record]
) -> list[Record]:
    """Each row through `parse`.

    Args:
        rows: each gives its row when called, or raises RowError.

    Raises:
        UserError: rows are at fault: the first `MAX_PROBLEMS` of them.
    """
    records: list[Record] = []
    problems: list[str] = []
    for row in rows:
        try:
            records.append(parse(row()))
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
