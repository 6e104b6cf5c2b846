"""Do strategies find a layer that was drawn anew before fine-tuning?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lwft_bench.reporting.numbers.selections import chooses, draws, of_cell
from lwft_bench.reporting.read.records import ReportedCell, RunRecords
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Table

_NOTE = (
    "Share of draws: of all units drawn in a cell, those that are the planted layer; mean over "
    "planted layers and seeds ± its standard error. Undamaged: the share of the same layers where "
    "the model was left as it is. Expected: what the recorded probabilities lead one to expect of "
    "either, which is free of the chance of drawing. Ranked first: cells in which the planted layer "
    "had the highest score in the first period. Validation loss: before and after training, mean, "
    "and the standard error of the latter."
)


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
        if not (cell.done and cell.config and cell.config.model.reinitialise):
            continue
        periods = of_cell(records, cell.id)
        if periods.empty or not chooses(records, periods):
            continue
        layers = cell.config.model.reinitialise
        units = records.units[records.units["cell"] == cell.id]
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
            and not other.config.model.reinitialise
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


def planted_table(records: RunRecords) -> Table | None:
    """A row for each method; None where no model is planted."""
    found = planted_cells(records)
    if not found:
        return None
    display = [{"method": label} | _columns(cells) for label, cells in found.items()]
    return Table(
        name="planted",
        title="Planted layer",
        display=pd.DataFrame(display),
        values=pd.DataFrame([row for cells in found.values() for row in _values(cells)]),
        notes=(_NOTE,),
    )


def _columns(cells: Sequence[PlantedCell]) -> dict[str, str]:
    ranked = [one.ranked_first for one in cells if one.ranked_first is not None]
    before, after = (_losses(cells, when) for when in ("before", "after"))
    error = "" if math.isnan(stderr(after)) else f" ± {show.small(stderr(after))}"
    return {
        "cells": str(len(cells)),
        "share of draws on it": _with_error([one.share for one in cells]),
        "expected": _with_error(known(cells, lambda one: one.expected)),
        "uniform": show.spread([one.uniform for one in cells], _percent),
        "undamaged": _with_error(known(cells, lambda one: one.undamaged)),
        "expected there": _with_error(known(cells, lambda one: one.expected_undamaged)),
        "ranked first": f"{sum(ranked)} of {len(ranked)}" if ranked else show.NOTHING,
        "validation loss": f"{_mean(before)} → {_mean(after)}{error}",
    }


def _values(cells: Sequence[PlantedCell]) -> Iterator[dict[str, object]]:
    for one in cells:
        before, after = (_losses([one], when) for when in ("before", "after"))
        yield {
            "cell": one.cell.id,
            "method": one.cell.label,
            "layers": " ".join(map(str, one.layers)),
            "seed": one.cell.seed,
            "share": one.share,
            "uniform": one.uniform,
            "undamaged_share": one.undamaged,
            "expected_share": one.expected,
            "expected_undamaged_share": one.expected_undamaged,
            "ranked_first": one.ranked_first,
            "validation_loss_before": before[0] if before else None,
            "validation_loss_after": after[0] if after else None,
        }


def known(cells: Sequence[PlantedCell], pick: Callable[[PlantedCell], float | None]) -> list[float]:
    """What is not None."""
    return [value for one in cells if (value := pick(one)) is not None]


def _losses(cells: Sequence[PlantedCell], when: str) -> list[float]:
    trainings = [one.cell.result.training for one in cells if one.cell.result]
    losses = [getattr(one, f"validation_loss_{when}") for one in trainings if one]
    return [loss for loss in losses if loss is not None]


def _mean(values: Sequence[float]) -> str:
    return show.small(float(np.mean(values)) if values else None)


def stderr(values: Sequence[float]) -> float:
    """Of the mean; NaN for a single value."""
    return float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def _with_error(values: Sequence[float]) -> str:
    if not values:
        return show.NOTHING
    error = stderr(values)
    shown = _percent(float(np.mean(values)))
    return shown if math.isnan(error) else f"{shown[:-2]} ± {_percent(error)}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
