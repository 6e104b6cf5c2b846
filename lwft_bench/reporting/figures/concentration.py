"""How concentrated selections are over time: effective number of units."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lwft_bench.reporting.figures.style import Drawn, Style, styles
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
            if periods["probabilities"].notna().any():
                found = pd.Series(effective_units(periods), index=periods["step"])
                numbers.setdefault(row.label, []).append(found)
            if periods["ages"].notna().all():
                found = pd.Series([np.mean(age) for age in periods["ages"]], index=periods["step"])
                ages.setdefault(row.label, []).append(found)
    if not numbers:
        return None
    panels = [("effective number of units", numbers)]
    if ages:
        panels.append(("mean age of what scores rest on (steps)", ages))
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    for axes, (title, found) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        for label, series in found.items():
            _lines(axes, series, style[label])
        axes.set_title(title, fontsize=11)
        axes.set_xlabel("step")
    handles = [
        Line2D([], [], color=style[label].color, ls=style[label].line, label=label)
        for label in dict.fromkeys([*numbers, *ages])
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    caption = (
        "Effective number of units: exp of the entropy of the probabilities, mean over seeds, band "
        "from the smallest to the largest seed."
    )
    if ages:
        caption += " Beside it how long ago, on average over units, scores were measured."
    return figure, caption


def _lines(axes: Axes, series: Series, style: Style) -> None:
    # A value holds until the next; seeds whose periods differ are compared at the steps of all.
    together = pd.concat(series, axis="columns").sort_index().ffill()
    steps = together.index.to_numpy()
    axes.plot(
        steps, together.mean(axis="columns"), style.line, color=style.color, drawstyle="steps-post"
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
