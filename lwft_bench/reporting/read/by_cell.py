"""A frame's rows by their cell, looked for once: tables and figures ask for one cell after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd


def places_by_cell(cells: pd.Series) -> dict[str, np.ndarray]:
    """Cell -> the places of its rows, ascending."""
    values = cells.to_numpy()
    if not len(values):
        return {}
    starts = np.flatnonzero(values[1:] != values[:-1]) + 1
    places: dict[str, np.ndarray] = {}
    for run in np.split(np.arange(len(values)), starts):
        name = str(values[run[0]])
        places[name] = np.concatenate([places[name], run]) if name in places else run
    return places


class ByCell:
    """A frame with a column `cell`."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame
        self._places = places_by_cell(frame["cell"])
        self._columns: dict[str, np.ndarray] = {}

    def places(self, cell: str) -> np.ndarray:
        """Of the rows of one cell, ascending."""
        return self._places.get(cell, np.array([], dtype=np.intp))

    def values(self, cell: str, column: str) -> np.ndarray:
        """Those of one column in the rows of one cell."""
        if column not in self._columns:
            self._columns[column] = self._frame[column].to_numpy()
        found: np.ndarray = self._columns[column][self.places(cell)]
        return found

    def of_all(self, cells: Iterable[str]) -> pd.DataFrame:
        """The rows of these cells, in the frame's order."""
        places = [self._places[cell] for cell in cells if cell in self._places]
        return self._frame.iloc[np.sort(np.concatenate(places)) if places else []]


@dataclass(frozen=True, eq=False, slots=True)
class Periods:
    """What one cell selected, a value a period.

    steps, num_steps: numbers. units: indices of units. probabilities, scores, ages: of each unit, or
        None where they were not recorded.
    """

    cell: str
    steps: np.ndarray
    num_steps: np.ndarray
    units: Sequence[list[int]]
    probabilities: Sequence[list[float] | None]
    scores: Sequence[list[float] | None]
    ages: Sequence[list[int] | None]

    @classmethod
    def of(cls, selections: ByCell, cell: str) -> Periods:
        """selections: as in `RunRecords`."""
        steps, lengths, *lists = (
            selections.values(cell, name)
            for name in ("step", "num_steps", "units", "probabilities", "scores", "ages")
        )
        return cls(cell, steps, lengths, *map(_lists, lists))

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def draws(self) -> bool:
        """Whether any period has probabilities."""
        return any(one is not None for one in self.probabilities)


def _lists(values: np.ndarray) -> list[Any]:
    return [one if isinstance(one, list) else None for one in values]
