"""Rows from files of any usual kind, every error located: JSON, JSON lines, CSV, Parquet, Arrow."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from lwft_bench.data.json_documents import rows_of_document
from lwft_bench.data.json_lines import (
    Row,
    RowError,
    parse_rows,
    place,
    read_json_lines,
    rows_of_lines,
)
from lwft_bench.schema.errors import UserError, text_of
from lwft_bench.schema.regular_files import read_text, require_regular

_Record = TypeVar("_Record")

JSON_LINES = (".jsonl", ".ndjson")
DELIMITERS = {".csv": ",", ".tsv": "\t"}
TEXT = (".json", *JSON_LINES, *DELIMITERS)
"""These may be gzipped: `train.jsonl.gz`."""
SUFFIXES = (*TEXT, ".parquet", ".arrow")


def kind_of(path: Path) -> str | None:
    """The suffix that says how a file is written, in lower case and without `.gz`; None: no such."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] == [".gz"]
    suffix = "".join(suffixes[:-1][-1:] if packed else suffixes[-1:])
    return suffix if suffix in (TEXT if packed else SUFFIXES) else None


def read_rows(path: Path, parse: Callable[[Row], _Record]) -> list[_Record]:
    """Every row of a file, through `parse`.

    A `.json` file holds a list of objects, an object with such a list under `data`, or one object a
    line; a file of CSV, or with tabs for commas, has a header, and all its fields are texts.

    Raises:
        UserError: the file cannot be read, is of no such kind or has no rows, or rows are at fault;
            places are lines of text files and rows of the others.
    """
    kind = kind_of(path)
    if kind is None:
        raise UserError(
            f"{path}: expected a file that ends in {', '.join(SUFFIXES)}, or text with .gz behind that"
        )
    if kind in (".parquet", ".arrow"):
        records = parse_rows(path, _rows_of_columns(path, kind), parse)
    else:
        records = parse_rows(path, _rows_of_text(path, kind), parse)
    if not records:
        raise UserError(f"{path} has no rows")
    return records


def read_own_rows(path: Path, parse: Callable[[Row], _Record]) -> list[_Record]:
    """As `read_rows`, but a file whose suffix says nothing has an object a line."""
    if kind_of(path) is not None:
        return read_rows(path, parse)
    try:
        return read_json_lines(path, parse)
    except UserError as error:
        if not path.is_file():
            raise
        hint = f"{path.name} was read as JSON lines, since it ends in none of {', '.join(SUFFIXES)}"
        raise UserError(error.message, "; ".join(filter(None, (error.hint, hint)))) from error


def _rows_of_text(path: Path, kind: str) -> Sequence[Callable[[], Row]]:
    text = read_text(path)
    if kind in DELIMITERS:
        return list(_rows_of_csv(path, text, DELIMITERS[kind]))
    if kind == ".json" and _is_document(text):
        return rows_of_document(path, text)
    return rows_of_lines(path, text)


def _is_document(text: str) -> bool:
    """Whether it is one value over several lines; else it is an object a line."""
    start = text.lstrip()
    if not start.startswith("{"):
        return start.startswith("[")
    first, _, rest = start.partition("\n")
    try:
        value = json.loads(first)
    except json.JSONDecodeError as error:
        return error.pos >= len(first.rstrip())  # it goes on in the next line
    except (ValueError, RecursionError):
        return False
    return not rest.strip() and isinstance(value.get("data"), list)


def _rows_of_csv(path: Path, text: str, delimiter: str) -> Iterator[Callable[[], Row]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    end = 0
    limit = csv.field_size_limit(len(text) + 1)  # the text's own length has a limit already
    try:
        for fields in reader:
            line, end = end + 1, reader.line_num
            if not fields:
                continue
            if header is None:
                header = fields
                # One name may be empty: pandas writes a column of numbers that has none.
                if len(set(header)) < len(header) or not any(header):
                    raise UserError(f"{path}:{line}: expected a header of different names")
            else:
                yield partial(_csv_row, path, line, header, fields)
    except csv.Error as error:
        began = f", in a row that began in line {end + 1}" if reader.line_num > end + 1 else ""
        yield partial(_fail, RowError(f"{path}:{reader.line_num}: not CSV: {error}{began}"))
    finally:
        csv.field_size_limit(limit)


def _csv_row(path: Path, line: int, header: list[str], fields: list[str]) -> Row:
    if len(fields) != len(header):
        raise RowError(
            f"{place(path, line)}: expected {len(header)} fields as in the header, found {len(fields)}"
        )
    if any("\0" in field for field in fields):
        raise RowError(f"{place(path, line)}: a null character, which no text of people has")
    return Row(path, line, dict(zip(header, fields, strict=True)))


def _rows_of_columns(path: Path, kind: str) -> Iterator[Callable[[], Row]]:
    for number, fields in enumerate(_columns(path, kind), start=1):
        yield partial(Row, path, number, fields)


def _columns(path: Path, kind: str) -> list[dict[str, Any]]:
    import pyarrow
    import pyarrow.ipc
    import pyarrow.parquet

    require_regular(path)
    try:
        if kind == ".parquet":
            table = pyarrow.parquet.read_table(path)
        else:
            with pyarrow.memory_map(str(path)) as source:
                # Two formats have this suffix: that of files, and that of streams, which `datasets`
                # writes.
                is_file = source.read(6) == b"ARROW1"
                source.seek(0)
                opened = pyarrow.ipc.open_file if is_file else pyarrow.ipc.open_stream
                table = opened(source).read_all()
        # Offsets of a damaged file may point anywhere, and reading the rows would end the process.
        table.validate(full=True)
        rows: list[dict[str, Any]] = table.to_pylist()
    # What pyarrow raises of a damaged file depends on where it is damaged.
    except Exception as error:
        reason = (text_of(error).splitlines() or [type(error).__name__])[0][:200]
        raise UserError(f"{path}: cannot be read: {reason}") from None
    return rows


def _fail(problem: RowError) -> Row:
    raise problem
