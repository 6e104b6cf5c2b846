"""Rows from files of any usual kind, every error located: JSON, JSON lines, Parquet, Arrow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from lwft_bench.data.json_lines import Row, RowError, parse_rows, read_json_lines
from lwft_bench.schema.errors import UserError

Record = TypeVar("Record")

SUFFIXES = (".json", ".jsonl", ".parquet", ".arrow")


def read_rows(path: Path, parse: Callable[[Row], Record]) -> list[Record]:
    """Every row of a file, through `parse`.

    A `.json` file holds a list of objects, or one object a line.

    Raises:
        UserError: the file cannot be read, is of no such kind or has no rows, or rows are at fault;
            places are lines of text files and rows of the others.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path}: expected a file that ends in {', '.join(SUFFIXES)}")
    if path.suffix in (".parquet", ".arrow"):
        records = parse_rows(path, _rows_of_columns(path), parse)
    elif path.suffix == ".json" and _starts_with_list(path):
        records = parse_rows(path, _rows_of_list(path), parse)
    else:
        records = read_json_lines(path, parse)
    if not records:
        raise UserError(f"{path} has no rows")
    return records


def _starts_with_list(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as stream:
            return stream.read(4096).lstrip().startswith("[")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None


def _rows_of_list(path: Path) -> Iterator[Callable[[], Row]]:
    """The objects of one list, each with the line that it starts on."""
    text = path.read_text("utf-8")
    decode = json.JSONDecoder().raw_decode
    position, line, counted = text.index("[") + 1, 1, 0
    while True:
        position = _skip(text, position, ", \t\r\n")
        if text.startswith("]", position):
            return
        line += text.count("\n", counted, position)
        counted = position
        try:
            value, position = decode(text, position)
        except json.JSONDecodeError as error:
            place = f"{path}:{error.lineno}"
            problem = RowError(f"{place}: not JSON: {error.msg} (column {error.colno})")
            yield partial(_fail, problem)
            return
        yield partial(_row, path, line, value)


def _skip(text: str, position: int, characters: str) -> int:
    while position < len(text) and text[position] in characters:
        position += 1
    return position


def _rows_of_columns(path: Path) -> Iterator[Callable[[], Row]]:
    import pyarrow
    import pyarrow.ipc
    import pyarrow.parquet

    try:
        if path.suffix == ".parquet":
            table = pyarrow.parquet.read_table(path)
        else:
            with pyarrow.memory_map(str(path)) as source:
                table = pyarrow.ipc.open_stream(source).read_all()
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    for number, fields in enumerate(table.to_pylist(), start=1):
        yield partial(Row, path, number, fields)


def _row(path: Path, number: int, value: Any) -> Row:
    if not isinstance(value, dict):
        raise RowError(f"{path}:{number}: expected an object, found {json.dumps(value)[:60]}")
    return Row(path, number, value)


def _fail(problem: RowError) -> Row:
    raise problem
