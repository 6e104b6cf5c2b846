"""The rows of a run's done cells, put together into frames.

Thousands of cells have millions of rows, of which few texts differ: each text is kept once, and columns
are gathered instead of a record a row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd
from pydantic import TypeAdapter

from lwft_bench.results.rows import CellRows
from lwft_bench.schema.rows import SampleRow, StepRow

_SAMPLE = ("cell", "benchmark", "id", "correct", "overlap", "cluster")
_NOT_RECORDED = {"probabilities": None, "scores": None, "ages": None}
_SELECTION = ("cell", "step", "num_steps", "units", *_NOT_RECORDED)
_UNIT = ("cell", "index", "kind", "depth")

_Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Frames:
    """What `RunRecords` has under the same names."""

    samples: pd.DataFrame
    steps: pd.DataFrame
    selections: pd.DataFrame
    units: pd.DataFrame


class RowsOfCells:
    """Takes what frames need of each cell's rows; texts of samples stay on disk."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._samples: dict[str, _Columns] = {}
        self._steps: dict[str, _Columns] = {}
        self._units: dict[str, list[dict[str, Any]]] = {}
        self._selections: dict[str, list[dict[str, Any]]] = {}

    def add(self, cell: str, rows: CellRows) -> None:
        """The rows of one more cell."""
        self._samples[cell] = self._sample_columns(rows.samples)
        self._steps[cell] = _step_columns(rows.steps)
        self._units[cell] = [{"cell": cell, **unit.as_json()} for unit in rows.header.units]
        self._selections[cell] = [
            {"cell": cell, **_NOT_RECORDED} | row.as_json() for row in rows.selections
        ]

    def _sample_columns(self, samples: Sequence[SampleRow]) -> _Columns:
        text = self._texts.setdefault
        return {
            "benchmark": [text(one.benchmark, one.benchmark) for one in samples],
            "id": [text(one.id, one.id) for one in samples],
            "correct": [one.correct for one in samples],
            "overlap": [one.overlap for one in samples],
            "cluster": [
                text(cluster, cluster) for one in samples for cluster in (one.cluster or one.id,)
            ],
        }

    def frames(self, cells: Sequence[str]) -> Frames:
        """The frames of these cells, in this order; what was gathered of them is let go of."""
        units = [row for cell in cells for row in self._units.pop(cell)]
        selections = [row for cell in cells for row in self._selections.pop(cell)]
        return Frames(
            samples=pd.DataFrame(_joined(self._samples, cells, _SAMPLE)),
            steps=_frame_of_steps(_joined(self._steps, cells, ("cell", *StepRow.model_fields))),
            selections=_frame(selections, _SELECTION),
            units=_frame(units, _UNIT),
        )


def _joined(of: dict[str, _Columns], cells: Sequence[str], names: Sequence[str]) -> _Columns:
    joined: _Columns = {name: [] for name in names}
    for cell in cells:
        columns = of.pop(cell)
        size = len(next(iter(columns.values())))
        columns["cell"] = [cell] * size
        for name in names:
            joined[name] += columns[name]
    return joined


def _step_columns(rows: Sequence[StepRow]) -> _Columns:
    """Values as in the file: what stands in a line only where there is a value is NaN elsewhere."""
    values = _steps_as_json().dump_python(list(rows), mode="json")
    return {
        name: [
            math.nan if row[name] is None and name in StepRow.omitted else row[name]
            for row in values
        ]
        for name in StepRow.model_fields
    }


@cache
def _steps_as_json() -> TypeAdapter[list[StepRow]]:
    return TypeAdapter(list[StepRow])


def _frame_of_steps(columns: _Columns) -> pd.DataFrame:
    """Without columns that no row has a value for; first those that the first rows have."""
    if not columns["cell"]:
        return pd.DataFrame(columns=["cell", "step", "loss"])
    first = {}
    for name, values in columns.items():
        if name not in StepRow.omitted:
            first[name] = 0
            continue
        place = next((at for at, one in enumerate(values) if not _is_nan(one)), None)
        if place is not None:
            first[name] = place
    return pd.DataFrame({name: columns[name] for name in sorted(first, key=first.__getitem__)})


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _frame(rows: list[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """A frame that has `columns` even when there are no rows."""
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(columns))
