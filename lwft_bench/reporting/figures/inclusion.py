"""How concentrated selections are over time, and how often units were drawn against expectation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lwft_bench.reporting.numbers.comparison import Comparison
from lwft_bench.reporting.numbers.selections import (
    Draws,
    draws,
    effective_units,
    of_row,
    unit_names,
)
from lwft_bench.reporting.read.records import RunRecords

_NEUTRAL = "#555555"
Series = list[pd.Series]
"""One a seed, over the steps at which its periods begin."""


def concentration_figure(
    records: RunRecords, comparison: Comparison, colors: Mapping[str, str], lines: Mapping[str, str]
) -> tuple[Figure, str] | None:
    """Effective number of units over the steps; beside it the mean age of their estimates."""
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
            _lines(axes, series, colors[label], lines[label])
        axes.set_title(title, fontsize=11)
        axes.set_xlabel("step")
    handles = [
        Line2D([], [], color=colors[label], ls=lines[label], label=label)
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


def inclusion_figure(
    records: RunRecords, comparison: Comparison, colors: Mapping[str, str]
) -> tuple[Figure, str] | None:
    """Share of periods in which a unit was drawn, and what its probabilities lead one to expect."""
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
    columns = min(3, len(found))
    rows = -(-len(found) // columns)
    figure = Figure(figsize=(10, 0.8 + 2.6 * rows), layout="constrained")
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
            color=_NEUTRAL,
            capsize=3,
            markersize=9,
            linewidth=1,
        )
        panel.plot(units, drawn.observed / drawn.periods, "o", color=colors[label], markersize=5)
        panel.set_title(label, fontsize=11, loc="left", color=colors[label])
        panel.set_xticks(units, names, rotation=90 if len(names) > 16 else 0, fontsize=9)
        panel.set_ylim(bottom=0)
    for panel in grid[:, 0]:
        panel.set_ylabel("share of periods")
    for panel in grid[-1]:
        panel.set_xlabel("unit")
    handles = [
        Line2D([], [], linestyle="", marker="o", color=_NEUTRAL, label="drawn"),
        Line2D([], [], linestyle="", marker="_", color=_NEUTRAL, label="expected ± 2 SE"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    caption = (
        "How often each unit was drawn, over all seeds, and what the recorded probabilities lead one "
        "to expect of draws by weight, ± two standard errors."
    )
    return figure, caption


def _lines(axes: Axes, series: Series, color: str, line: str) -> None:
    # A value holds until the next; seeds whose periods differ are compared at the steps of all.
    together = pd.concat(series, axis="columns").sort_index().ffill()
    steps = together.index.to_numpy()
    axes.plot(steps, together.mean(axis="columns"), line, color=color, drawstyle="steps-post")
    axes.fill_between(
        steps,
        together.min(axis="columns"),
        together.max(axis="columns"),
        color=color,
        alpha=0.15,
        linewidth=0,
        step="post",
    )
