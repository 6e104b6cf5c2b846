"""How often units were drawn against what their probabilities lead one to expect."""

from __future__ import annotations

import numpy as np
from matplotlib.lines import Line2D

from lwft_bench.reporting.figures.style import (
    NEUTRAL,
    Drawn,
    beside_each_other,
    colors_of,
    legend_columns,
    new_figure,
    scaled,
)
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.selections import Draws, draws, of_row, unit_names


def build(context: Context) -> Drawn | None:
    """Share of periods in which a unit was drawn, and what its probabilities lead one to expect."""
    records, comparison, colors = context.records, context.comparison, colors_of(context)
    found: dict[str, tuple[list[str], Draws]] = {}
    for row in comparison.trained:
        cells = of_row(records, row)
        if cells:
            names = unit_names(records, cells[0][1])
            drawn = draws(cells, len(names))
            if drawn is not None:
                found[row.label] = (names, drawn)
    if not found:
        return None
    columns = beside_each_other(len(found), 2.8)
    rows = -(-len(found) // columns)
    figure = new_figure(0.8 + 2.6 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for panel in grid.flat[len(found) :]:
        panel.set_axis_off()
    for panel, (label, (names, drawn)) in zip(grid.flat, found.items(), strict=False):
        units = np.arange(len(names))
        panel.errorbar(
            units,
            drawn.expected / drawn.periods,
            yerr=2 * drawn.stderr / drawn.periods,
            fmt="_",
            color=NEUTRAL,
            capsize=scaled(3),
            markersize=scaled(9),
            linewidth=scaled(1),
        )
        panel.plot(units, drawn.observed / drawn.periods, "o", color=colors[label], ms=scaled(5))
        panel.set_title(label, loc="left", color=colors[label])
        panel.set_xticks(units, names, rotation=90 if len(names) > 16 else 0, fontsize="small")
        panel.set_ylim(bottom=0)
    for panel in grid[:, 0]:
        panel.set_ylabel("share of periods")
    for panel in grid[-1]:
        panel.set_xlabel("unit")
    handles = [
        Line2D([], [], linestyle="", marker="o", color=NEUTRAL, label="drawn"),
        Line2D([], [], linestyle="", marker="_", color=NEUTRAL, label="expected ± 2 SE"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=legend_columns([""] * 2))
    caption = (
        "How often each unit was drawn, over all seeds, and what the recorded probabilities lead one "
        "to expect of draws by weight, ± two standard errors."
    )
    return figure, caption
