"""Rows of one JSON document: a list of objects, or an object that holds one under `data`.

The document is walked value by value, since messages name the line that a row stands on, which
`json` does not tell.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from lwft_bench.data.json_lines import DECODER, Row, RowError, as_row, beyond_limits

LIST_KEY = "data"
"""The key of an object that holds the rows."""

_SPACE = " \t\r\n"
_decode = DECODER.raw_decode


def rows_of_document(path: Path, text: str) -> list[Callable[[], Row]]:
    """The objects of a document's list; what is wrong with the document is raised in place of a row.

    A row that shares its line with others is told by its number too.
    """
    found: list[tuple[int, Any]] = []
    problem: RowError | None = None
    walk = _Walk(path, text)
    try:
        found.extend(walk.rows())
    except RowError as error:
        found, problem = walk.found, error
    lines = Counter(line for line, _ in found)
    rows: list[Callable[[], Row]] = [
        partial(as_row, path, line, value, number, crowded=lines[line] > 1)
        for number, (line, value) in enumerate(found, start=1)
    ]
    return [*rows, partial(_fail, problem)] if problem else rows


class _Walk:
    """One reading of a document. found: the rows so far, each with its line."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._text = text
        self._position = 0
        self._line, self._counted = 1, 0
        self.found: list[tuple[int, Any]] = []

    def rows(self) -> list[tuple[int, Any]]:
        """Raises:
        RowError: it is no such document, or goes on after its end.
        """
        self._space()
        if self._at("{"):
            self._object()
        else:
            self._list()
        self._space()
        if self._position < len(self._text):
            what = "another list" if self._at("[") else "more text"
            raise self._error(f"the document ends before this line, and {what} follows")
        return self.found

    def _object(self) -> None:
        keys: list[str] = []
        has_rows = False
        for _ in self._members("}"):
            key = self._value()
            if not isinstance(key, str):
                raise self._error("not JSON: a key that is no text")
            self._expect(":")
            keys.append(key)
            if key == LIST_KEY and self._at("["):
                has_rows = True
                self._list()
            else:
                self._value()
        if not has_rows:
            names = ", ".join(map(repr, keys[:5])) or "none"
            raise RowError(
                f"{self._path}:1: expected a list of objects, or an object with such a list under "
                f"{LIST_KEY!r}; found an object with the keys {names}"
            )

    def _list(self) -> None:
        for number, _ in enumerate(self._members("]"), start=1):
            line = self._line_here()
            self.found.append((line, self._value(f", row {number}")))

    def _members(self, end: str) -> Iterator[None]:
        """Yields before each member of what begins here, and checks the commas between."""
        self._position += 1
        self._space()
        if self._at(end):
            self._position += 1
            return
        while True:
            yield
            self._space()
            if self._at(end):
                self._position += 1
                return
            self._expect(",")

    def _value(self, what: str = "") -> Any:
        """what: which one, for messages."""
        try:
            value, self._position = _decode(self._text, self._position)
        except json.JSONDecodeError as error:
            where = f"{self._path}:{error.lineno}"
            raise RowError(f"{where}: not JSON: {error.msg} (column {error.colno}{what})") from None
        except (ValueError, RecursionError) as error:
            raise self._error(beyond_limits(error) + what) from None
        return value

    def _expect(self, character: str) -> None:
        self._space()
        if not self._at(character):
            found = self._text[self._position : self._position + 1]
            raise self._error(
                f"not JSON: expected {character!r}, found {found!r}"
                if found
                else f"not JSON: the file ends where {character!r} is expected"
            )
        self._position += 1
        self._space()

    def _space(self) -> None:
        while self._position < len(self._text) and self._text[self._position] in _SPACE:
            self._position += 1

    def _at(self, character: str) -> bool:
        return self._text.startswith(character, self._position)

    def _line_here(self) -> int:
        self._line += self._text.count("\n", self._counted, self._position)
        self._counted = self._position
        return self._line

    def _error(self, text: str) -> RowError:
        return RowError(f"{self._path}:{self._line_here()}: {text}")


def _fail(problem: RowError) -> Row:
    raise problem
