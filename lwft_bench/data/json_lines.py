"""The user's own data: files with one JSON object a line, every error located."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from lwft_bench.schema.errors import UserError
from lwft_bench.schema.regular_files import read_text
from lwft_bench.schema.strict_reading import GivenTwice, each_once

_Record = TypeVar("_Record")

MAX_PROBLEMS = 10
"""Problems of one file that are shown."""

MAX_FIELDS_SHOWN = 12


class RowError(Exception):
    """A located problem of one line."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a file, as an object whose fields are checked when they are taken."""

    path: Path
    number: int
    """Counted from 1."""
    fields: dict[str, Any]
    ordinal: int | None = None
    """Which row of a list it is, counted from 1."""
    crowded: bool = False
    """Whether other rows stand on its line, so that messages tell it by its ordinal too."""

    @property
    def id(self) -> int:
        """Of this row alone in its file."""
        return self.ordinal or self.number

    @property
    def place(self) -> str:
        return place(self.path, self.number, self.ordinal if self.crowded else None)

    def text(self, field: str) -> str:
        value = self._get(field)
        if not isinstance(value, str):
            raise self.error(field, "a text", value)
        return self._whole(field, value)

    def text_or_nothing(self, field: str) -> str:
        """A text; "" where the field is missing or null."""
        return "" if self.fields.get(field) is None else self.text(field)

    def texts(self, field: str) -> tuple[str, ...]:
        value = self._get(field)
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise self.error(field, "a list of texts", value)
        return tuple(self._whole(field, text) for text in value)

    def texts_or_numbers(self, field: str) -> tuple[str, ...]:
        """A list of texts or numbers, numbers as they are written."""
        value = self._get(field)
        if not isinstance(value, list):
            raise self.error(field, "a list of texts or numbers", value)
        return tuple(self._written(field, each, "a list of texts or numbers") for each in value)

    def text_or_number(self, field: str) -> str:
        """A text, or a number as it is written."""
        return self._written(field, self._get(field), "a text or a number")

    def number_text(self, field: str) -> str:
        """A number, written as one or as a text."""
        return self._written(field, self._get(field), "a number")

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
        return self._with(value)

    def each_inside(self, field: str) -> list[Row]:
        """The mappings in a list."""
        value = self._get(field)
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise self.error(field, "a list of mappings", value)
        return [self._with(each) for each in value]

    def renamed(self, columns: Mapping[str, str]) -> Row:
        """With further fields: wanted name -> name of the column that holds it."""
        found = {name: self._get(column) for name, column in columns.items()}
        return self._with(self.fields | found)

    def error(self, field: str, expected: str, found: Any) -> RowError:
        return RowError(f"{self.place}: {field}: expected {expected}, found {shown(found)}")

    def _with(self, fields: dict[str, Any]) -> Row:
        return replace(self, fields=fields)

    def _written(self, field: str, value: Any, expected: str) -> str:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise self.error(field, expected, value)
        if isinstance(value, float) and not math.isfinite(value):
            raise self.error(field, expected, value)
        return self._whole(field, str(value))

    def _whole(self, field: str, text: str) -> str:
        """The text, if it is Unicode: JSON can write half of a character (`"\\ud83d"`)."""
        try:
            text.encode()
        except UnicodeEncodeError as error:
            half = f"\\u{ord(text[error.start]):04x}"
            raise RowError(
                f"{self.place}: {field}: expected Unicode text, found half a character ({half}, a "
                f"lone surrogate) at position {error.start + 1}"
            ) from None
        return text

    def _get(self, field: str) -> Any:
        if field not in self.fields:
            names = list(map(repr, self.fields))
            names[MAX_FIELDS_SHOWN:] = [f"{len(names) - MAX_FIELDS_SHOWN} more"] * (
                len(names) > MAX_FIELDS_SHOWN
            )
            raise RowError(
                f"{self.place}: no field {field!r}; there are {', '.join(names) or 'none'}"
            )
        return self.fields[field]


def place(path: Path, line: int, ordinal: int | None = None) -> str:
    """`file:line`, and the row where the line does not tell."""
    return f"{path}:{line}" + (f": row {ordinal}" if ordinal is not None else "")


def shown(value: Any) -> str:
    """The beginning of a value as JSON, in characters that any terminal takes."""
    text = json.dumps(value, ensure_ascii=False, default=str)[:60]
    return text.encode(errors="backslashreplace").decode()


def read_json(text: str, where: str, line: int | None = None) -> Any:
    """A JSON value.

    Args:
        where: The place of the text, for messages.
        line: Its line, if it is not to be counted from the text's first.

    Raises:
        RowError: it is none, or one that Python cannot hold.
    """
    try:
        return DECODER.decode(text)
    except json.JSONDecodeError as error:
        at = f"{where}:{error.lineno if line is None else line}"
        raise RowError(f"{at}: not JSON: {error.msg} (column {error.colno})") from None
    except (ValueError, RecursionError) as error:
        at = where if line is None else f"{where}:{line}"
        raise RowError(f"{at}: {beyond_limits(error)}") from None


DECODER = json.JSONDecoder(object_pairs_hook=each_once)


def beyond_limits(error: ValueError | RecursionError) -> str:
    """What is wrong with JSON that can be parsed and is not read."""
    if isinstance(error, GivenTwice):
        return str(error)
    if isinstance(error, RecursionError):
        return "nested too deeply to be read"
    return "a number of thousands of digits, which cannot be read"


def read_json_lines(path: Path, parse: Callable[[Row], _Record]) -> list[_Record]:
    """Every line that is not blank, through `parse`.

    Raises:
        UserError: the file cannot be read, or lines are at fault: the first `MAX_PROBLEMS` of
            them, each as file:line.
    """
    return parse_rows(path, rows_of_lines(path, read_text(path)), parse)


def rows_of_lines(path: Path, text: str) -> list[Callable[[], Row]]:
    """The lines of a text that are not blank."""
    lines = enumerate(text.split("\n"), start=1)
    return [partial(_row, path, number, line) for number, line in lines if line.strip()]


def parse_rows(
    path: Path, rows: Iterable[Callable[[], Row]], parse: Callable[[Row], _Record]
) -> list[_Record]:
    """Each row through `parse`.

    Args:
        rows: each gives its row when called, or raises RowError.

    Raises:
        UserError: rows are at fault: the first `MAX_PROBLEMS` of them.
    """
    records: list[_Record] = []
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


def as_row(
    path: Path, number: int, value: Any, ordinal: int | None = None, crowded: bool = False
) -> Row:
    """Raises:
    RowError: it is no object.
    """
    row = Row(path, number, value, ordinal, crowded)
    if not isinstance(value, dict):
        raise RowError(f"{row.place}: expected an object, found {shown(value)}")
    return row


def _row(path: Path, number: int, line: str) -> Row:
    return as_row(path, number, read_json(line, str(path), number))
