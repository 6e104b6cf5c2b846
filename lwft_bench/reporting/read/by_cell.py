"""A frame's rows by their cell, looked for once: tables and figures ask for one cell after the other."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd


def places_by_cell(cells: pd.Series) -> dict[str, np.ndarray]:
    """Cell -> the places of its rows, ascending."""
    if cells.empty:
        return {}
    numbers, names = pd.factorize(cells)
    order = np.argsort(numbers, kind="stable")
    ends = np.cumsum(np.bincount(numbers, minlength=len(names)))
    return dict(zip(map(str, names), np.split(order, ends[:-1]), strict=True))


class ByCell:
    """A frame with a column `cell`."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame
        self._places = places_by_cell(frame["cell"])

    def of(self, cell: str) -> pd.DataFrame:
        """The rows of one cell."""
        return self.of_all([cell])

    def places(self, cell: str) -> np.ndarray:
        """Of the rows of one cell, ascending."""
        return self._places.get(cell, np.array([], dtype=np.intp))

    def values(self, cell: str, column: str) -> np.ndarray:
        """Those of one column in the rows of one cell."""
        found: np.ndarray = self._frame[column].to_numpy()[self.places(cell)]
        return found

    def of_all(self, cells: Iterable[str]) -> pd.DataFrame:
        """The rows of these cells, in the frame's order."""
        places = [self._places[cell] for cell in cells if cell in self._places]
        return self._frame.iloc[np.sort(np.concatenate(places)) if places else []]
