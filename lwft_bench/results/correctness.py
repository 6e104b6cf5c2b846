"""Which items each cell of a run has right, as one table: what a packed run keeps of its samples.

One row an item (`benchmark`, `id`, `cluster`, `overlap`) and one column a cell: 1, 0, or nothing where
the cell was not asked.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import get_args

from lwft_bench.results.atomic import write_text_atomic
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.regular_files import read_record
from lwft_bench.schema.rows import NOT_SOUGHT, OverlapKind, SampleRow

CORRECTNESS = "correctness.csv"
_ITEM = ("benchmark", "id", "cluster", "overlap")
_NONE = "none"
"""Stands for an overlap that was sought and not found."""

_Item = tuple[str, str, str, str]


def write_correctness(directory: Path, cells: Iterable[tuple[str, Iterable[SampleRow]]]) -> None:
    """Writes which items each cell has right."""
    columns: list[str] = []
    items: dict[_Item, dict[str, str]] = {}
    for cell, samples in cells:
        columns.append(cell)
        for sample in samples:
            overlap = sample.overlap or _NONE
            item = (sample.benchmark, sample.id, sample.cluster or "", overlap)
            items.setdefault(item, {})[cell] = str(int(sample.correct))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_ITEM, *columns])
    for item, correct in items.items():
        writer.writerow([*item, *(correct.get(cell, "") for cell in columns)])
    write_text_atomic(directory / CORRECTNESS, text.getvalue())


def read_correctness(directory: Path) -> dict[str, list[SampleRow]]:
    """The samples of each cell, without their texts; nothing where the run is not packed.

    Raises:
        UserError: The file cannot be read, or a row is none; the message has its line.
    """
    path = directory / CORRECTNESS
    if not path.exists():
        return {}
    table = csv.reader(io.StringIO(read_record(path), newline=""))
    samples: dict[str, list[SampleRow]] = {}
    try:
        header = next(table, [])
        if tuple(header[: len(_ITEM)]) != _ITEM or len(set(header)) != len(header):
            raise ValueError(f"expected the columns {', '.join(_ITEM)} and one for each cell")
        for row in table:
            for cell, sample in _cells_of(header, row):
                samples.setdefault(cell, []).append(sample)
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path}:{max(table.line_num, 1)}: {error}") from None
    return samples


def _cells_of(header: list[str], row: list[str]) -> Iterator[tuple[str, SampleRow]]:
    if len(row) != len(header):
        raise ValueError(f"expected {len(header)} columns, found {len(row)}")
    benchmark, item, cluster, overlap = row[: len(_ITEM)]
    if overlap not in (known := (*get_args(OverlapKind), _NONE, NOT_SOUGHT)):
        raise ValueError(f"overlap: expected {', '.join(known)}, found {overlap[:20]!r}")
    for cell, value in zip(header[len(_ITEM) :], row[len(_ITEM) :], strict=True):
        if value == "":
            continue
        if value not in ("0", "1"):
            raise ValueError(f"column {cell}: expected 0, 1 or nothing, found {value[:20]!r}")
        yield (
            cell,
            SampleRow.model_validate(
                {
                    "benchmark": benchmark,
                    "id": item,
                    "correct": value == "1",
                    "cluster": cluster or None,
                    "overlap": None if overlap == _NONE else overlap,
                }
            ),
        )
