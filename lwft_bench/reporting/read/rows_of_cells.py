"""The rows of a run's done cells, put together into frames.

Thousands of cells have millions of rows, of which few texts differ: each text is kept once, rows have
its number, and columns are arrays.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lwft_bench.results.columns import CellColumns, Columns
from lwft_bench.schema.rows import StepRow

_ASKED = ("benchmark", "id", "overlap", "cluster", "prompt", "answer")
_TEXTS = ("benchmark", "id", "overlap", "cluster")
_SAMPLE = ("cell", "benchmark", "id", "correct", "overlap", "cluster")
_NOT_RECORDED = {"probabilities": None, "scores": None, "ages": None}
_SELECTION = ("cell", "step", "num_steps", "units", *_NOT_RECORDED)
_UNIT = ("cell", "index", "kind", "depth")

_Arrays = dict[str, np.ndarray]
"""Of one cell, by column."""


@dataclass(frozen=True)
class Frames:
    """What `RunRecords` has under the same names."""

    samples: pd.DataFrame
    steps: pd.DataFrame
    selections: pd.DataFrame
    units: pd.DataFrame
    wordings: dict[str, np.ndarray]


class _Numbers(dict[Any, int]):
    """Each text's number, in the order in which they were first asked for."""

    def __missing__(self, text: Any) -> int:
        number = self[text] = len(self)
        return number

    def of(self, texts: Sequence[Any]) -> np.ndarray:
        return np.fromiter(map(self.__getitem__, texts), np.int32, len(texts))


class _Translated:
    """Other numbers in the place of those of arrays; cells that share an array share it then too."""

    def __init__(self, numbers: np.ndarray) -> None:
        self._numbers = numbers
        self._found: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __call__(self, array: np.ndarray) -> np.ndarray:
        if id(array) not in self._found:
            self._found[id(array)] = array, self._numbers[array]
        return self._found[id(array)][1]


class RowsOfCells:
    """Takes what frames need of each cell's rows; of texts of samples only which are alike."""

    def __init__(self) -> None:
        self._numbers, self._words = _Numbers(), _Numbers()
        self._wordings: dict[str, np.ndarray] = {}
        self._samples: dict[str, _Arrays] = {}
        self._steps: dict[str, _Arrays] = {}
        self._units: dict[str, list[dict[str, Any]]] = {}
        self._selections: dict[str, list[dict[str, Any]]] = {}
        self._asked: list[list[Any]] = []
        self._as_asked: _Arrays = {}
        self._in_words = np.array([], dtype=np.int32)

    def __getstate__(self) -> dict[str, Any]:
        """Without the texts of the cell that was added last."""
        return self.__dict__ | {"_asked": []}

    def add(self, cell: str, rows: CellColumns) -> None:
        """The rows of one more cell."""
        of, number = rows.samples, self._numbers.of
        asked = [of[name] for name in _ASKED]
        if asked != self._asked:  # by the cell before: seeds are asked the same
            clusters = [one or item for one, item in zip(of["cluster"], of["id"], strict=True)]
            self._asked = asked
            self._as_asked = {
                "benchmark": number(of["benchmark"]),
                "id": number(of["id"]),
                "overlap": number(of["overlap"]),
                "cluster": number(clusters),
            }
            self._in_words = self._words.of(list(zip(of["prompt"], of["answer"], strict=True)))
        self._samples[cell] = self._as_asked | {"correct": np.array(of["correct"], dtype=bool)}
        self._wordings[cell] = self._in_words
        self._steps[cell] = {name: _step_values(name, rows.steps) for name in StepRow.model_fields}
        self._units[cell] = [{"cell": cell, **unit.as_json()} for unit in rows.header.units]
        self._selections[cell] = [
            {"cell": cell, **_NOT_RECORDED} | row.as_json() for row in rows.selections
        ]

    def take(self, others: RowsOfCells) -> None:
        """The rows of other cells, which were read elsewhere."""
        number_here = _Translated(self._numbers.of(list(others._numbers)))
        for cell, columns in others._samples.items():
            self._samples[cell] = columns | {name: number_here(columns[name]) for name in _TEXTS}
        words_here = _Translated(self._words.of(list(others._words)))
        for cell, words in others._wordings.items():
            self._wordings[cell] = words_here(words)
        self._steps |= others._steps
        self._units |= others._units
        self._selections |= others._selections

    def frames(self, cells: Sequence[str]) -> Frames:
        """The frames of these cells, in this order; what was gathered of them is let go of."""
        units = [row for cell in cells for row in self._units.pop(cell)]
        selections = [row for cell in cells for row in self._selections.pop(cell)]
        samples = _joined(self._samples, cells, _SAMPLE)
        texts = np.array([*self._numbers, ""], dtype=object)  # none would be no array of objects
        samples |= {name: texts[samples[name].astype(np.int32)] for name in _TEXTS}
        return Frames(
            samples=_frame_of_arrays(samples),
            steps=_frame_of_steps(_joined(self._steps, cells, ("cell", *StepRow.model_fields))),
            selections=_frame(selections, _SELECTION),
            units=_frame(units, _UNIT),
            wordings={cell: self._wordings[cell] for cell in cells},
        )


def _joined(of: dict[str, _Arrays], cells: Sequence[str], names: Sequence[str]) -> _Arrays:
    columns = [of.pop(cell) for cell in cells]
    sizes = [len(next(iter(one.values()))) for one in columns]
    joined = {"cell": np.repeat(np.array(cells, dtype=object), sizes)}
    for name in names[1:]:
        # Each array goes as soon as it is in the joined one; an empty one has no type of its own.
        values = [one.pop(name) for one in columns]
        joined[name] = np.concatenate([one for one in values if len(one)] or [np.array([])])
    return joined


def _step_values(name: str, steps: Columns) -> np.ndarray:
    """What stands in a line only where there is a value is NaN elsewhere, as a loss is that is none."""
    values = steps[name]
    if values and isinstance(next((one for one in values if one is not None), None), tuple):
        found = np.empty(len(values), dtype=object)
        found[:] = [math.nan if one is None else list(one) for one in values]
        return found
    found = np.array([math.nan if one is None else one for one in values])
    if name in ("loss", "validation_loss") and found.dtype.kind == "f":
        found[~np.isfinite(found)] = math.nan
    return found


def _frame_of_arrays(columns: _Arrays) -> pd.DataFrame:
    """Texts stay objects: as pandas' own strings each row would have its own copy."""
    return pd.DataFrame(
        {
            name: pd.Series(values, dtype=values.dtype, copy=False)
            for name, values in columns.items()
        },
        copy=False,
    )


def _frame_of_steps(columns: _Arrays) -> pd.DataFrame:
    """Without columns that no row has a value for; first those that the first rows have."""
    if not len(columns["cell"]):
        return pd.DataFrame(columns=["cell", "step", "loss"])
    first = {}
    for name, values in columns.items():
        if name not in StepRow.omitted:
            first[name] = 0
        elif len(places := np.flatnonzero(~pd.isna(values))):
            first[name] = int(places[0])
    return _frame_of_arrays({name: columns[name] for name in sorted(first, key=first.__getitem__)})


def _frame(rows: list[dict[str, Any]], columns: Iterable[str]) -> pd.DataFrame:
    """A frame that has `columns` even when there are no rows."""
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(columns))
