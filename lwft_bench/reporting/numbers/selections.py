"""What was selected over a run's periods, and how far that is from what probabilities say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lwft_bench.reporting.numbers import inclusion
from lwft_bench.reporting.numbers.rows import Row
from lwft_bench.reporting.read.by_cell import Periods
from lwft_bench.reporting.read.records import ReportedCell, RunRecords

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Draws:
    """How often each unit was drawn, beside what the recorded probabilities lead one to expect.

    periods: those with probabilities, over all seeds. observed, expected: [units], numbers of draws.
    stderr: [units], of the observed number. Given its probabilities a draw is independent of all
        others, so variances add up, also where probabilities follow what was drawn before.
    """

    periods: int
    observed: _Floats
    expected: _Floats
    stderr: _Floats

    @property
    def deviations(self) -> _Floats:
        """[units], in standard errors; 0 where the draw was certain and went as it must."""
        distance = self.observed - self.expected
        certain = self.stderr < 1e-9
        return np.where(
            certain & (np.abs(distance) < 1e-6),
            0.0,
            distance / np.where(certain, 1e-9, self.stderr),
        )


def of_cell(records: RunRecords, cell: str) -> Periods:
    """The periods of one cell."""
    return Periods.of(records.selections_by_cell, cell)


def of_row(records: RunRecords, row: Row) -> list[tuple[ReportedCell, Periods]]:
    """The done cells that recorded selections, with their periods."""
    found = [(cell, of_cell(records, cell.id)) for cell in row.done]
    return [(cell, periods) for cell, periods in found if len(periods)]


def unit_names(records: RunRecords, periods: Periods) -> list[str]:
    """A layer's number, `embed`, `head`, or the number and path of a module in a layer."""
    kinds, depths = (records.units_by_cell.values(periods.cell, one) for one in ("kind", "depth"))
    return [_unit_name(kind, depth) for kind, depth in zip(kinds, depths, strict=True)]


def _unit_name(kind: str, depth: int) -> str:
    if kind == "layer":
        return str(depth)
    return kind if kind in ("embed", "head") else f"{depth} {kind}"


def chooses(records: RunRecords, periods: Periods) -> bool:
    """Whether the selection ever changes or leaves a unit out; not where none was recorded."""
    if not len(periods):
        return False
    distinct = set(map(tuple, periods.units))
    if len(distinct) > 1:
        return True
    number = len(unit_names(records, periods))
    return any(len(units) < number for units in distinct)


def period_edges(periods: Periods) -> list[int]:
    """Steps at which periods begin, and the end of the last."""
    return [*periods.steps, periods.steps[-1] + periods.num_steps[-1]]


def probabilities(periods: Periods) -> _Floats:
    """[periods, units], each period's own or those last drawn from."""
    first = next(one for one in periods.probabilities if one is not None)
    filled = accumulate(
        periods.probabilities, lambda last, one: last if one is None else one, initial=first
    )
    return np.array([*islice(filled, 1, None)], dtype=np.float64)


def effective_units(periods: Periods) -> _Floats:
    """[periods]: exp of the entropy of the probabilities."""
    return inclusion.effective_number(probabilities(periods))


def trained_shares(cells: Sequence[tuple[ReportedCell, Periods]], num_units: int) -> _Floats:
    """[units]: share of all cells' training steps in which a unit trained."""
    trained, total = np.zeros(num_units), 0
    for cell, periods in cells:
        assert cell.result is not None
        steps = period_edges(periods)[-1]
        if cell.result.training is not None:  # the last period can reach beyond the last step
            steps = cell.result.training.optimizer_steps
        for units, length, first in zip(
            periods.units, periods.num_steps, periods.steps, strict=True
        ):
            trained[units] += min(length, steps - first)
        total += steps
    return trained / total


def draws(cells: Sequence[tuple[ReportedCell, Periods]], num_units: int) -> Draws | None:
    """What was drawn over all these cells; None where no probabilities were recorded.

    Expected are draws by weight, with replacement where the strategy has an option `replacement`
    that says so, and without otherwise.
    """
    periods, observed = 0, np.zeros(num_units)
    expected, variance = np.zeros(num_units), np.zeros(num_units)
    for cell, own in cells:
        number = _independent_draws(cell)
        for units, weights in zip(own.units, own.probabilities, strict=True):
            if weights is None:
                continue
            included = _included(tuple(weights), len(units), number)
            periods += 1
            observed[list(units)] += 1
            expected += included
            variance += np.clip(included * (1 - included), 0, None)
    return Draws(periods, observed, expected, np.sqrt(variance)) if periods else None


@lru_cache(maxsize=4096)  # probabilities stay the same over many periods
def _included(weights: tuple[float, ...], count: int, independent: int | None) -> _Floats:
    if independent is not None:
        return inclusion.with_replacement(np.array(weights), independent)
    return inclusion.without_replacement(np.array(weights), count)


def _independent_draws(cell: ReportedCell) -> int | None:
    """How often is drawn with replacement; None without."""
    options: Mapping[str, Any] = cell.config.method.strategy.options if cell.config else {}
    while "inner" in options:  # a strategy around another one
        options = options["inner"]
    return options["num_active"] if options.get("replacement") else None
