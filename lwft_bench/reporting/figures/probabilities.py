"""Each unit's probability in the first and in the last period, over all seeds."""

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
from lwft_bench.reporting.numbers.selections import of_cell, probabilities, unit_names


def build(context: Context) -> Drawn | None:
    """None where no method records probabilities."""
    records, comparison, colors = context.records, context.comparison, colors_of(context)
    first_last: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    names: dict[str, list[str]] = {}
    for row in comparison.trained:
        seeds = [own for cell in row.done if (own := of_cell(records, cell.id)).draws]
        if seeds:
            series = [probabilities(own) for own in seeds]
            first_last[row.label] = (
                np.array([one[0] for one in series]),
                np.array([one[-1] for one in series]),
            )
            names[row.label] = unit_names(records, seeds[0])
    if not first_last:
        return None
    columns = beside_each_other(len(first_last), 2.8)
    lines = -(-len(first_last) // columns)
    figure = new_figure(0.8 + 2.6 * lines)
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
    for panel in grid.flat[len(first_last) :]:
        panel.set_axis_off()
    for panel, (label, (first, last)) in zip(grid.flat, first_last.items(), strict=False):
        units = np.arange(first.shape[1])
        for shift, values, filled in ((-0.14, first, False), (0.14, last, True)):
            mean = values.mean(axis=0)
            panel.errorbar(
                units + shift,
                mean,
                yerr=_spread(values),
                fmt="o",
                color=colors[label],
                markerfacecolor=colors[label] if filled else "white",
                markersize=scaled(5),
                linewidth=scaled(1),
            )
        panel.axhline(1 / len(units), color=NEUTRAL, linestyle=":", linewidth=scaled(1))
        panel.set_title(label, loc="left", color=colors[label])
        panel.set_xticks(
            units, names[label], rotation=90 if len(units) > 16 else 0, fontsize="small"
        )
        panel.set_xlabel("unit")
    grid[0][0].set_ylim(bottom=0)
    figure.supylabel("probability of being drawn", fontsize="medium")
    handles = [
        Line2D([], [], linestyle="", marker="o", color=NEUTRAL, markerfacecolor=fill, label=text)
        for text, fill in (("first period", "white"), ("last period", NEUTRAL))
    ]
    handles.append(
        Line2D([], [], color=NEUTRAL, linestyle=":", linewidth=scaled(1), label="uniform")
    )
    columns = legend_columns([str(handle.get_label()) for handle in handles], 3)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    caption = (
        "Probability of each unit in the first and in the last period; mean over seeds, bars from "
        "the smallest to the largest seed, dotted: all alike."
    )
    return figure, caption


def _spread(values: np.ndarray) -> np.ndarray:
    """[2, units]: how far the mean over seeds is above the smallest and below the largest.

    The mean of equal numbers can miss them by a rounding, in either direction.
    """
    mean = values.mean(axis=0)
    return np.maximum(0.0, [mean - values.min(axis=0), values.max(axis=0) - mean])
