"""Who trained how often, how concentrated the probabilities were, how old what they rest on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lwft_bench.reporting.numbers.comparison import Comparison
from lwft_bench.reporting.numbers.selections import (
    Draws,
    chooses,
    draws,
    effective_units,
    of_row,
    trained_shares,
    unit_names,
)
from lwft_bench.reporting.read.records import ReportedCell, RunRecords
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Table

_NOTE = (
    "Over all seeds. Distinct selections: of all periods. Effective number of units: exp of the "
    "entropy of the probabilities in the first and in the last period, mean over seeds. Most and "
    "least trained: share of the training steps. Off expectation: the unit whose number of draws is "
    "farthest from what the recorded probabilities lead one to expect of draws by weight, in "
    "standard errors; of eight units the farthest is typically 1.5 to 2.5 off. Age: steps since what "
    "a unit's score rests on was measured, mean over units and periods, and the largest."
)

Cells = Sequence[tuple[ReportedCell, pd.DataFrame]]


def selections_table(records: RunRecords, comparison: Comparison) -> Table | None:
    """A row for each method that chooses among units; None if none does."""
    display, values = [], []
    for row in comparison.trained:
        cells = of_row(records, row)
        if not cells or not any(chooses(records, periods) for _, periods in cells):
            continue
        names = unit_names(records, cells[0][1])
        shares = trained_shares(cells, len(names))
        drawn = draws(cells, len(names))
        selections = {tuple(units) for _, periods in cells for units in periods["units"]}
        number = sum(len(periods) for _, periods in cells)
        display.append(
            {
                "method": row.label,
                "distinct selections": f"{len(selections)} of {number}",
                "effective units, first → last": _first_last(cells),
                "most trained": _share(names, shares, int(shares.argmax())),
                "least trained": _share(names, shares, int(shares.argmin())),
                "off expectation": _farthest(names, drawn),
                "age (steps)": _age(cells),
            }
        )
        values += [
            {
                "model": comparison.model,
                "task": comparison.task,
                "method": row.label,
                "unit": name,
                "trained_share": shares[unit],
            }
            | (_of_unit(drawn, unit) if drawn else {})
            for unit, name in enumerate(names)
        ]
    if not display:
        return None
    return Table(
        name=f"selections{comparison.suffix}",
        title=f"{comparison.model} on {comparison.task}: selections",
        display=pd.DataFrame(display),
        values=pd.DataFrame(values),
        notes=(_NOTE,),
    )


def _first_last(cells: Cells) -> str:
    series = [effective_units(own) for _, own in cells if own["probabilities"].notna().any()]
    if not series:
        return show.NOTHING
    first, last = (float(np.mean([one[at] for one in series])) for at in (0, -1))
    return f"{first:.2f} → {last:.2f}"


def _share(names: Sequence[str], shares: np.ndarray, unit: int) -> str:
    return f"{names[unit]}: {100 * shares[unit]:.0f} %"


def _farthest(names: Sequence[str], drawn: Draws | None) -> str:
    if drawn is None:
        return show.NOTHING
    unit = int(np.abs(drawn.deviations).argmax())
    return f"{names[unit]}: {drawn.deviations[unit]:+.1f}".replace("-", "−")


def _age(cells: Cells) -> str:
    ages = [age for _, own in cells for age in own["ages"] if age is not None]
    if not ages:
        return show.NOTHING
    return f"{np.mean(ages):.0f}, at most {np.max(ages)}"


def _of_unit(drawn: Draws, unit: int) -> dict[str, float]:
    return {
        "periods_with_probabilities": drawn.periods,
        "draws": drawn.observed[unit],
        "expected_draws": drawn.expected[unit],
        "expected_draws_stderr": drawn.stderr[unit],
        "deviation_stderrs": drawn.deviations[unit],
    }
