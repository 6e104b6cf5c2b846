"""Do strategies find a layer that was drawn anew before fine-tuning?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lwft_bench.reporting.numbers.selections import chooses, draws, of_cell
from lwft_bench.reporting.read.records import ReportedCell, RunRecords


@dataclass(frozen=True)
class PlantedCell:
    """One cell with a planted model.

    share: of its draws, those on planted layers. uniform: their share of the units. undamaged: the
    share of the same layers in the cell of the same method, task and seed whose model was left as
    it is; None if the run has none. expected, expected_undamaged: the shares that the recorded
    probabilities lead one to expect, which draws scatter about; None where there are none.
    ranked_first: None where no scores were recorded.
    """

    cell: ReportedCell
    layers: tuple[int, ...]
    share: float
    uniform: float
    undamaged: float | None
    expected: float | None
    expected_undamaged: float | None
    ranked_first: bool | None


def planted_cells(records: RunRecords) -> dict[str, list[PlantedCell]]:
    """Method's label -> its done cells with a planted model, of methods that choose."""
    found: dict[str, list[PlantedCell]] = {}
    for cell in records.cells:
        if not (cell.done and cell.config and cell.config.model.altered_layers):
            continue
        periods = of_cell(records, cell.id)
        if periods.empty or not chooses(records, periods):
            continue
        layers = cell.config.model.altered_layers
        units = records.units_by_cell.of(cell.id)
        planted = units["index"][units["depth"].isin(layers)].tolist()
        twin = _undamaged(records, cell)
        first = periods["scores"].iloc[0]
        found.setdefault(cell.label, []).append(
            PlantedCell(
                cell,
                layers,
                _share(periods, planted),
                len(planted) / len(units),
                twin and _share(twin[1], planted),
                _expected((cell, periods), planted, len(units)),
                twin and _expected(twin, planted, len(units)),
                None if first is None else int(np.argmax(first)) in planted,
            )
        )
    return found


def _undamaged(records: RunRecords, cell: ReportedCell) -> tuple[ReportedCell, pd.DataFrame] | None:
    for other in records.cells:
        if (
            other.done
            and other.config
            and cell.config
            and not other.config.model.altered_layers
            and other.config.model.path == cell.config.model.path
            and (other.label, other.task, other.seed) == (cell.label, cell.task, cell.seed)
        ):
            return other, of_cell(records, other.id)
    return None


def _share(periods: pd.DataFrame, planted: Sequence[int]) -> float:
    drawn = [unit for units in periods["units"] for unit in units]
    return sum(unit in planted for unit in drawn) / len(drawn)


def _expected(
    cell: tuple[ReportedCell, pd.DataFrame], planted: Sequence[int], num_units: int
) -> float | None:
    drawn = draws([cell], num_units)
    return float(drawn.expected[planted].sum() / drawn.expected.sum()) if drawn else None


def known(cells: Sequence[PlantedCell], pick: Callable[[PlantedCell], float | None]) -> list[float]:
    """What is not None."""
    return [value for one in cells if (value := pick(one)) is not None]


def losses(cells: Sequence[PlantedCell], when: str) -> list[float]:
    """Validation losses `before` or `after` training, of the cells that have them."""
    trainings = [one.cell.result.training for one in cells if one.cell.result]
    losses = [getattr(one, f"validation_loss_{when}") for one in trainings if one]
    return [loss for loss in losses if loss is not None]


def stderr(values: Sequence[float]) -> float:
    """Of the mean; NaN for a single value."""
    return float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
