"""Do strategies find a layer that was changed before fine-tuning?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lwft_bench.reporting.numbers.selections import chooses, draws, of_cell
from lwft_bench.reporting.read.by_cell import Periods
from lwft_bench.reporting.read.records import ReportedCell, RunRecords
from lwft_bench.schema.cell import ModelConfig


@dataclass(frozen=True)
class PlantedCell:
    """One cell with a changed model.

    change: what was done to it, in words. share: of its draws, those on changed layers. uniform: their
    share of the units. undamaged: the share of the same layers in the cell of the same method, task and
    seed whose model was left as it is; None if the run has none. expected, expected_undamaged: the
    shares that the recorded probabilities lead one to expect, which draws scatter about; None where
    there are none. ranked_first: None where no scores were recorded.
    """

    cell: ReportedCell
    change: str
    layers: tuple[int, ...]
    share: float
    uniform: float
    undamaged: float | None
    expected: float | None
    expected_undamaged: float | None
    ranked_first: bool | None

    @property
    def moved(self) -> float | None:
        """By how much the layers' share is larger than in the undamaged model, of the expected shares
        where there are any.
        """
        if self.expected is not None and self.expected_undamaged is not None:
            return self.expected - self.expected_undamaged
        return None if self.undamaged is None else self.share - self.undamaged


Change = str
"""What was done to a model's layers: `gain × 4`, `rescaled by 8`, `drawn anew`, or several of them."""


def planted_cells(records: RunRecords) -> dict[tuple[str, Change], list[PlantedCell]]:
    """Method's label and change -> its done cells with so changed a model, of methods that choose."""
    found: dict[tuple[str, Change], list[PlantedCell]] = {}
    for cell in records.cells:
        if not (cell.done and cell.config and cell.config.model.altered_layers):
            continue
        periods = of_cell(records, cell.id)
        if not chooses(records, periods):
            continue
        layers = cell.config.model.altered_layers
        index, depths = (records.units_by_cell.values(cell.id, one) for one in ("index", "depth"))
        planted = index[np.isin(depths, layers)].tolist()
        twin = _undamaged(records, cell)
        first = periods.scores[0]
        change = _change(cell.config.model)
        found.setdefault((cell.label, change), []).append(
            PlantedCell(
                cell,
                change,
                layers,
                _share(periods, planted),
                len(planted) / len(index),
                twin and _share(twin[1], planted),
                _expected((cell, periods), planted, len(index)),
                twin and _expected(twin, planted, len(index)),
                None if first is None else int(np.argmax(first)) in planted,
            )
        )
    return found


def _change(model: ModelConfig) -> Change:
    changes = []
    if model.gain is not None:
        changes.append(f"gain × {model.gain.factor:g}")
    if model.rescale is not None:
        changes.append(f"rescaled by {model.rescale.factor:g}")
    if model.reinitialise:
        changes.append("drawn anew")
    return ", ".join(changes)


def _undamaged(records: RunRecords, cell: ReportedCell) -> tuple[ReportedCell, Periods] | None:
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


def _share(periods: Periods, planted: Sequence[int]) -> float:
    drawn = [unit for units in periods.units for unit in units]
    return sum(unit in planted for unit in drawn) / len(drawn)


def _expected(
    cell: tuple[ReportedCell, Periods], planted: Sequence[int], num_units: int
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
