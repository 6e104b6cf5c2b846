"""How concentrated selections are over time: effective number of units."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from lwft_bench.reporting.figures.style import (
    Drawn,
    Style,
    beside_each_other,
    legend_columns,
    new_figure,
    scaled,
    spaced,
    styles,
)
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.selections import effective_units, of_row

Series = list[pd.Series]
"""One a seed, over the steps at which its periods begin."""


def build(context: Context) -> Drawn | None:
    """Beside it the mean age of what scores rest on. None where nothing has probabilities."""
    records, comparison, style = context.records, context.comparison, styles(context.comparisons)
    numbers: dict[str, Series] = {}
    ages: dict[str, Series] = {}
    for row in comparison.trained:
        for _, periods in of_row(records, row):
            if periods.draws:
                found = pd.Series(effective_units(periods), index=periods.steps)
                numbers.setdefault(row.label, []).append(found)
            if None not in periods.ages:
                found = pd.Series(np.array(periods.ages).mean(axis=1), index=periods.steps)
                ages.setdefault(row.label, []).append(found)
    if not numbers:
        return None
    panels = [("effective number of units", numbers)]
    if ages:
        panels.append(("mean age of what scores rest on (steps)", ages))
    columns = beside_each_other(len(panels), 4.0)
    lines = -(-len(panels) // columns)
    figure = new_figure(0.6 + 4.0 * lines)
    for axes, (title, found) in zip(
        figure.subplots(lines, columns, squeeze=False).flat, panels, strict=True
    ):
        for place, (label, series) in enumerate(found.items()):
            _lines(axes, series, style[label], place / len(found))
        axes.set_title(title)
        axes.set_xlabel("step")
    labels = [*dict.fromkeys([*numbers, *ages])]
    handles = [
        Line2D(
            [], [], color=style[label].color, ls=style[label].line, marker=style[label].marker,
            ms=scaled(5), label=label,
        )
        for label in labels
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=legend_columns(labels))
    caption = (
        "Effective number of units: exp of the entropy of the probabilities, mean over seeds, band "
        "from the smallest to the largest seed."
    )
    if ages:
        caption += " Beside it how long ago, on average over units, scores were measured."
    return figure, caption


def _lines(axes: Axes, series: Series, style: Style, shift: float) -> None:
    """shift: where the first marker is, as a share of the distance between two."""
    # A value holds until the next; seeds whose periods differ are compared at the steps of all.
    together = pd.concat(series, axis="columns").sort_index().ffill()
    steps = together.index.to_numpy()
    axes.plot(
        steps,
        together.mean(axis="columns"),
        color=style.color,
        linestyle=style.line,
        marker=style.marker,
        markersize=scaled(5),
        markevery=spaced(len(steps), shift),
        drawstyle="steps-post",
    )
    axes.fill_between(
        steps,
        together.min(axis="columns"),
        together.max(axis="columns"),
        color=style.color,
        alpha=0.15,
        linewidth=0,
        step="post",
    )
