"""Who trained how often, how concentrated the probabilities were, how old what they rest on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.rows import Row
from lwft_bench.reporting.numbers.selections import (
    Draws,
    chooses,
    draws,
    effective_units,
    of_row,
    trained_shares,
    unit_names,
)
from lwft_bench.reporting.read.by_cell import Periods
from lwft_bench.reporting.read.records import ReportedCell, RunRecords
from lwft_bench.reporting.render.table import Column, Table, plain_values, tabulate
from lwft_bench.reporting.tables.leading import about

_NOTE = (
    "Over all seeds. Distinct selections: of all periods. Effective number of units: exp of the "
    "entropy of the probabilities in the first and in the last period, mean over seeds. Most and "
    "least trained: share of the training steps. Off expectation: the unit whose number of draws is "
    "farthest from what the recorded probabilities lead one to expect of draws by weight, in "
    "standard errors; of eight units the farthest is typically 1.5 to 2.5 off. Age: steps since what "
    "a unit's score rests on was measured, mean over units and periods, and the largest."
)


@dataclass(frozen=True)
class _Line:
    """What one method selected. shares: [units], of the training steps; drawn: None if unknown."""

    label: str
    cells: Sequence[tuple[ReportedCell, Periods]]
    names: list[str]
    shares: np.ndarray
    drawn: Draws | None


@dataclass(frozen=True)
class _Unit:
    """One unit of a line."""

    line: _Line
    unit: int


def build(context: Context) -> Table | None:
    """A row for each method that chooses among units; None if none does."""
    lines = [line for row in context.comparison.trained if (line := _line(context.records, row))]
    if not lines:
        return None
    units = [_Unit(line, unit) for line in lines for unit in range(len(line.names))]
    return tabulate(
        context.name("selections"),
        context.title("selections"),
        lines,
        _COLUMNS,
        notes=[_NOTE],
        values=plain_values(units, [*about(context), *_LONG]),
    )


def _line(records: RunRecords, row: Row) -> _Line | None:
    cells = of_row(records, row)
    if not cells or not any(chooses(records, periods) for _, periods in cells):
        return None
    names = unit_names(records, cells[0][1])
    shares = trained_shares(cells, len(names))
    return _Line(row.label, cells, names, shares, draws(cells, len(names)))


def _distinct(line: _Line) -> str:
    selections = {tuple(units) for _, periods in line.cells for units in periods.units}
    return f"{len(selections)} of {sum(len(periods) for _, periods in line.cells)}"


def _first_last(line: _Line) -> str | None:
    recorded = [own for _, own in line.cells if own.draws]
    if not recorded:
        return None
    series = [effective_units(own) for own in recorded]
    first, last = (float(np.mean([one[at] for one in series])) for at in (0, -1))
    return f"{first:.2f} → {last:.2f}"


def _share(line: _Line, unit: int) -> str:
    return f"{line.names[unit]}: {100 * line.shares[unit]:.0f} %"


def _farthest(line: _Line) -> str | None:
    if line.drawn is None:
        return None
    unit = int(np.abs(line.drawn.deviations).argmax())
    return f"{line.names[unit]}: {line.drawn.deviations[unit]:+.1f}".replace("-", "−")


def _age(line: _Line) -> str | None:
    ages = [age for _, own in line.cells for age in own.ages if age is not None]
    return f"{np.mean(ages):.0f}, at most {np.max(ages)}" if ages else None


_COLUMNS: list[Column[_Line]] = [
    Column("method", lambda line: line.label),
    Column("distinct selections", _distinct),
    Column("effective units, first → last", _first_last),
    Column("most trained", lambda line: _share(line, int(line.shares.argmax()))),
    Column("least trained", lambda line: _share(line, int(line.shares.argmin()))),
    Column("off expectation", _farthest),
    Column("age (steps)", _age),
]


def _of_draws(name: str, take: Callable[[Draws, int], float]) -> Column[_Unit]:
    def value(one: _Unit) -> float | None:
        return take(one.line.drawn, one.unit) if one.line.drawn else None

    return Column(None, value, plain=name)


_LONG: list[Column[_Unit]] = [
    Column(None, lambda one: one.line.label, plain="method"),
    Column(None, lambda one: one.line.names[one.unit], plain="unit"),
    Column(None, lambda one: one.line.shares[one.unit], plain="trained_share"),
    _of_draws("periods_with_probabilities", lambda drawn, unit: drawn.periods),
    _of_draws("draws", lambda drawn, unit: drawn.observed[unit]),
    _of_draws("expected_draws", lambda drawn, unit: drawn.expected[unit]),
    _of_draws("expected_draws_stderr", lambda drawn, unit: drawn.stderr[unit]),
    _of_draws("deviation_stderrs", lambda drawn, unit: drawn.deviations[unit]),
]
