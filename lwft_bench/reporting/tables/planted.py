"""Do strategies find a layer that was drawn anew before fine-tuning?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.estimates import PairedDifference
from lwft_bench.reporting.numbers.planted import (
    Change,
    PlantedCell,
    known,
    losses,
    planted_cells,
    stderr,
)
from lwft_bench.reporting.numbers.statistics import mean_over_seeds
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Column, Table, plain_values, tabulate

_NOTE = (
    "Gain: damaged, so that training the layer repairs it. Rescaled: the same function, written with "
    "other numbers; nothing needs repair. Drawn anew: it gets next to no gradient. "
    "Share of draws: of all units drawn in a cell, those that are the changed layer; mean over "
    "changed layers and seeds ± its standard error. Undamaged: the share of the same layers where "
    "the model was left as it is. Expected: what the recorded probabilities lead one to expect of "
    "either, which is free of the chance of drawing. Minus undamaged: of expected shares where there "
    "are any, else of shares, in points, paired by layer and seed, with Student's 95 % interval over "
    "them, not corrected for the number of rows. Ranked first: cells in which the changed layer "
    "had the highest score in the first period. Validation loss: before and after training, mean, "
    "and the standard error of the latter."
)


Cells = tuple[tuple[str, Change], Sequence[PlantedCell]]
"""A method, what was changed, and its cells."""


def build(context: Context) -> Table | None:
    """A row for each method and change; None where no model is changed."""
    found = planted_cells(context.records)
    if not found:
        return None
    cells = [cell for own in found.values() for cell in own]
    return tabulate(
        "planted",
        "Planted layer",
        found.items(),
        _COLUMNS,
        notes=[_NOTE],
        values=plain_values(cells, _LONG),
    )


def _with_error(pick: Callable[[PlantedCell], float | None]) -> Callable[[Cells], str | None]:
    """Mean over cells and its standard error."""

    def shown(of: Cells) -> str | None:
        values = known(of[1], pick)
        if not values:
            return None
        error, mean = stderr(values), _percent(float(np.mean(values)))
        return mean if math.isnan(error) else f"{mean[:-2]} ± {_percent(error)}"

    return shown


def _moved(of: Cells) -> str | None:
    values = known(of[1], lambda one: one.moved)
    if not values:
        return None
    found = PairedDifference(mean_over_seeds(values))
    ends, mean = found.interval, show.points(found.estimate.mean)
    return mean if ends is None else f"{mean} [{show.points(ends[0])}, {show.points(ends[1])}]"


def _ranked_first(of: Cells) -> str | None:
    ranked = [one.ranked_first for one in of[1] if one.ranked_first is not None]
    return f"{sum(ranked)} of {len(ranked)}" if ranked else None


def _validation_loss(of: Cells) -> str:
    before, after = (losses(of[1], when) for when in ("before", "after"))
    error = "" if math.isnan(stderr(after)) else f" ± {show.small(stderr(after))}"
    return f"{_mean(before)} → {_mean(after)}{error}"


def _mean(values: Sequence[float]) -> str:
    return show.small(float(np.mean(values)) if values else None)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _loss(when: str) -> Callable[[PlantedCell], float | None]:
    return lambda one: next(iter(losses([one], when)), None)


_COLUMNS: list[Column[Cells]] = [
    Column("method", lambda of: of[0][0]),
    Column("changed layer", lambda of: of[0][1], text=True),
    Column("cells", lambda of: len(of[1])),
    Column("share of draws on it", _with_error(lambda one: one.share)),
    Column("expected", _with_error(lambda one: one.expected)),
    Column("uniform", lambda of: show.spread([one.uniform for one in of[1]], _percent)),
    Column("undamaged", _with_error(lambda one: one.undamaged)),
    Column("expected there", _with_error(lambda one: one.expected_undamaged)),
    Column("− undamaged [95 %]", _moved),
    Column("ranked first", _ranked_first),
    Column("validation loss", _validation_loss),
]

_LONG: list[Column[PlantedCell]] = [
    Column(None, lambda one: one.cell.id, plain="cell"),
    Column(None, lambda one: one.change, plain="changed"),
    Column(None, lambda one: one.cell.label, plain="method"),
    Column(None, lambda one: " ".join(map(str, one.layers)), plain="layers"),
    Column(None, lambda one: one.cell.seed, plain="seed"),
    Column(None, lambda one: one.share, plain="share"),
    Column(None, lambda one: one.uniform, plain="uniform"),
    Column(None, lambda one: one.undamaged, plain="undamaged_share"),
    Column(None, lambda one: one.expected, plain="expected_share"),
    Column(None, lambda one: one.expected_undamaged, plain="expected_undamaged_share"),
    Column(None, lambda one: one.ranked_first, plain="ranked_first"),
    Column(None, _loss("before"), plain="validation_loss_before"),
    Column(None, _loss("after"), plain="validation_loss_after"),
]
