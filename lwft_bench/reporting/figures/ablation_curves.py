"""Average accuracy over the values of an ablated option."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator, ScalarFormatter

from lwft_bench.reporting.figures.style import (
    Drawn,
    Style,
    beside_each_other,
    legend_columns,
    new_figure,
    scaled,
    styled,
)
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.rows import Row
from lwft_bench.schema.labels import short_options
from lwft_bench.schema.suite import AVERAGE

Curves = dict[tuple[str, str], dict[str, list[tuple[Any, Row]]]]
"""Method and option -> what else is ablated, as text -> values and rows, in the suite's order."""

_MOST_TICKS = 6
"""More values than these are not all named."""
_DECADES = 20.0
"""Largest over smallest value from which an axis is logarithmic."""


def build(context: Context) -> Drawn | None:
    """A panel for each option of each method; None where none has two values with scores."""
    found = _curves(context.comparison.scored)
    if not found:
        return None
    columns = beside_each_other(len(found), 2.8)
    lines = -(-len(found) // columns)
    figure = new_figure(0.9 + 2.8 * lines)
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
    for panel in grid.flat[len(found) :]:
        panel.set_axis_off()
    rest = [*dict.fromkeys(other for curves in found.values() for other in curves)]
    style = {other: styled(number) for number, other in enumerate(rest)}
    for panel, ((method, option), curves) in zip(grid.flat, found.items(), strict=False):
        _panel(panel, curves, style)
        panel.set_title(method, loc="left")
        panel.set_xlabel(option.rpartition(".")[2])
    for panel in grid[:, 0]:
        panel.set_ylabel("average accuracy (%)")
    if any(rest):
        shown = {label: line for panel in grid.flat for line, label in _legend(panel)}
        figure.legend(
            shown.values(), shown.keys(), loc="outside lower center", ncols=legend_columns([*shown])
        )
    caption = (
        "Average accuracy over the values of ablated options, with one standard error over items and "
        "seeds above and below."
    )
    return figure, caption


def _legend(panel: Axes) -> Iterator[tuple[Any, str]]:
    return zip(*panel.get_legend_handles_labels(), strict=True)


def _curves(rows: list[Row]) -> Curves:
    found: Curves = {}
    for row in rows:
        ablation = row.cells[0].ablation
        for option, value in ablation.items():
            others = ", ".join(
                short_options({key: other for key, other in ablation.items() if key != option})
            )
            curve = found.setdefault((row.method, option), {}).setdefault(others, [])
            curve.append((value, row))
    several = {
        place: {other: curve for other, curve in curves.items() if _varies(curve)}
        for place, curves in found.items()
    }
    return {place: curves for place, curves in several.items() if curves}


def _varies(curve: list[tuple[Any, Row]]) -> bool:
    return len({str(value) for value, _ in curve}) > 1


def _panel(axes: Axes, curves: dict[str, list[tuple[Any, Row]]], style: dict[str, Style]) -> None:
    values = [*{str(value): value for curve in curves.values() for value, _ in curve}.values()]
    named = [str(value) for value in values]
    numeric = all(isinstance(one, int | float) and not isinstance(one, bool) for one in values)
    if numeric and min(values) > 0 and max(values) / min(values) >= _DECADES:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(ScalarFormatter())  # the usual one writes formulas
    if not numeric:
        axes.set_xticks(range(len(values)), named)
    elif len(values) <= _MOST_TICKS:
        axes.set_xticks(values, named)
        axes.xaxis.set_minor_locator(NullLocator())
    for number, (other, curve) in enumerate(curves.items()):
        one = style[other]
        points = sorted(
            (value if numeric else named.index(str(value)), row.accuracy[AVERAGE].mean,
             float(np.nan_to_num(row.accuracy[AVERAGE].stderr)))
            for value, row in curve
        )  # fmt: skip
        places, means, errors = np.array(points, dtype=float).T
        drawn: dict[str, Any] = {"color": one.color, "marker": one.marker, "markersize": scaled(5)}
        if numeric:
            axes.plot(places, 100 * means, linestyle=one.line, label=other, **drawn)
            axes.fill_between(
                places,
                100 * (means - errors),
                100 * (means + errors),
                color=one.color,
                alpha=0.15,
                linewidth=0,
            )
        else:  # values without an order have no line between them
            beside = places + 0.08 * (number - (len(curves) - 1) / 2)
            axes.errorbar(
                beside, 100 * means, 100 * errors, ls="", label=other, capsize=scaled(3), **drawn
            )
