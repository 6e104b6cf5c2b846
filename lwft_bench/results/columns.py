"""Rows of a file as columns: a report of thousands of cells needs their values, and no object a row."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache, partial
from operator import itemgetter
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints

import numpy as np
from pydantic import ConfigDict, TypeAdapter
from pydantic_core import from_json
from typing_extensions import TypedDict

from lwft_bench.results.rows import LARGE_NUMBER, read_lines, typed_rows
from lwft_bench.results.store import SAMPLES, STEPS, RunStore
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.rows import Row, SampleRow, SelectionHeader, SelectionRow, StepRow
from lwft_bench.schema.strict_reading import record_from_json

_RESPONSES = frozenset({"response", "prediction"})
Columns = dict[str, list[Any]]
"""Field -> its value in each row, in the file's order."""

_TOGETHER = 64
"""Lines: arrays of a few tens of thousands of bytes are made in the same memory again."""
_EXPONENT = np.frombuffer(b"eE", np.uint8)


@dataclass(frozen=True, slots=True)
class CellColumns:
    """What `CellRows` has, its samples and steps as columns."""

    samples: Columns
    steps: Columns
    header: SelectionHeader
    selections: list[SelectionRow]


def cell_columns(store: RunStore, cell_id: str) -> CellColumns:
    """All rows of a cell, without what its samples have as responses.

    Raises:
        UserError: A file of them is damaged; the message is that of `RunStore.rows`.
    """
    folder = store.cell_folder(cell_id)
    if lines := read_lines(folder / SAMPLES):
        samples = typed_columns(SampleRow, folder / SAMPLES, lines, _RESPONSES)
    else:
        samples = _values(SampleRow, store.packed.get(cell_id, []))
    steps = typed_columns(StepRow, folder / STEPS, read_lines(folder / STEPS))
    return CellColumns(samples, steps, *store.selections(cell_id))


def samples_at(store: RunStore, cell_id: str, places: Sequence[int]) -> Columns:
    """Those of a cell's samples that stand at these places, from 0.

    Raises:
        UserError: The file is damaged, or has fewer by now.
    """
    path = store.cell_folder(cell_id) / SAMPLES
    lines = read_lines(path)
    packed = [] if lines else store.packed.get(cell_id, [])
    found, wanted = len(lines or packed), max(places, default=-1) + 1
    if found < wanted:
        raise UserError(f"{path}: expected {wanted} items or more, found {found}")
    if not lines:
        return _values(SampleRow, [packed[place] for place in places])
    columns = _at_once(SampleRow, [lines[place] for place in places])
    if columns is None:
        rows = [typed_rows(SampleRow, path, [lines[place]], place + 1)[0] for place in places]
        return _values(SampleRow, rows)
    return columns


def typed_columns(
    kind: type[Row], path: Path, lines: Sequence[str], left_out: Collection[str] = ()
) -> Columns:
    """The values of what `typed_rows` would read.

    All lines are validated at once, by the same types. Where that fails they are read one by one, so
    that the message is the same.

    Args:
        left_out: fields that are validated and not given.

    Raises:
        UserError: As `typed_rows`.
    """
    columns = _at_once(kind, lines)
    if columns is None:
        columns = _values(kind, typed_rows(kind, path, list(lines)))
    return {name: column for name, column in columns.items() if name not in left_out}


def _column(values: list[dict[str, Any]], name: str, default: Any) -> list[Any]:
    try:
        return list(map(itemgetter(name), values))
    except KeyError:
        return [row.get(name, default) for row in values]


def _values(kind: type[Row], rows: Sequence[Row]) -> Columns:
    return {name: [getattr(row, name) for row in rows] for name in kind.model_fields}


def _at_once(kind: type[Row], lines: Sequence[str]) -> Columns | None:
    """None where a line may not be one row, or is none."""
    groups = (lines[at : at + _TOGETHER] for at in range(0, len(lines), _TOGETHER))
    try:
        if any(_may_have_large("[" + ",".join(group) + "]") for group in groups):
            for line in lines:
                if LARGE_NUMBER.search(line):
                    record_from_json(line)
        return _plain_columns(kind, lines) or _validated(kind, lines)
    except ValueError:
        return None


def _validated(kind: type[Row], lines: Sequence[str]) -> Columns | None:
    """A raw line break cannot stand in a text of JSON, nor an object within a row of plain values: where
    as many objects are found as there are lines, and each line begins with one, each line is one.
    """
    text = "[" + ",\n".join(lines) + "]"
    if lines and (text[1] != "{" or text.count(",\n{") != len(lines) - 1):
        return None
    values = _adapter(kind).validate_json(text)
    if len(values) != len(lines):
        return None
    return {name: _column(values, name, field.default) for name, field in kind.model_fields.items()}


def _plain_columns(kind: type[Row], lines: Sequence[str]) -> Columns | None:
    """The columns of a kind without numbers where all their values are as they are to be: what
    validation would give, in half of its time. None where it has to be asked.
    """
    plain = _plain(kind)
    if plain is None:
        return None
    values = list(map(from_json, lines))
    if set(map(type, values)) - {dict}:
        return None
    columns: Columns = {}
    missing = 0
    for name, allows in plain.items():
        field = kind.model_fields[name]
        try:
            column = list(map(itemgetter(name), values))
        except KeyError:
            if field.is_required():
                return None
            missing += sum(name not in row for row in values)
            column = _column(values, name, field.default)
        if not allows(column):
            return None
        columns[name] = column
    # More where a key is no field's.
    given = len(plain) * len(values) - missing
    return columns if given == sum(map(len, values)) else None


@cache
def _plain(kind: type[Row]) -> dict[str, Callable[[list[Any]], bool]] | None:
    """Field -> a check of its values; None for kinds that have others than texts, truths and listed
    words.
    """
    plain: dict[str, Callable[[list[Any]], bool]] = {}
    for name, field in kind.model_fields.items():
        options = {field.annotation}
        while any(get_origin(one) in (Union, UnionType) for one in options):
            options = {part for one in options for part in get_args(one) or (one,)}
        words = {word for one in options if get_origin(one) is Literal for word in get_args(one)}
        types = {one for one in options if get_origin(one) is not Literal}
        if field.metadata or not types <= {str, bool, NoneType} or (words and str in types):
            return None
        plain[name] = partial(_are, frozenset(types), frozenset(words))
    return plain


def _are(types: frozenset[Any], words: frozenset[str], column: list[Any]) -> bool:
    found = set(map(type, column))
    if words and str in found:
        return found <= types | {str} and {one for one in column if type(one) is str} <= words
    return found <= types


def _may_have_large(text: str) -> bool:
    """Whether `LARGE_NUMBER` is found in a text in brackets, in a tenth of the time."""
    if not text.isascii():
        return LARGE_NUMBER.search(text) is not None
    codes = np.frombuffer(text.encode("ascii"), np.uint8)
    digits = codes - np.uint8(ord("0")) < 10  # others are above it, by overflow too
    before = np.flatnonzero(digits[2:-2] & digits[3:-1] & digits[4:]) + 1
    if not before.size:
        return False
    before = before - (codes[before] == ord("+"))
    return bool(np.isin(codes[before], _EXPONENT).any())


@cache
def _adapter(kind: type[Row]) -> TypeAdapter[list[dict[str, Any]]]:
    """The same fields with the same types as a list of mappings, which is made three times as fast."""
    types = get_type_hints(kind, include_extras=True)
    fields = {
        name: types[name] if field.is_required() else NotRequired[types[name]]
        for name, field in kind.model_fields.items()
    }
    row = TypedDict(kind.__name__, fields)  # type: ignore[misc]
    row.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[attr-defined]
    return TypeAdapter(list[row])  # type: ignore[arg-type]
