"""Average accuracy against peak memory, a point a method."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from lwft_bench.reporting.figures.labels import place_labels
from lwft_bench.reporting.figures.style import DPI, Drawn, fix_layout, styles
from lwft_bench.reporting.numbers.comparison import Row
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.measurements import peak_bytes
from lwft_bench.schema.suite import AVERAGE

_UNTRAINED = "#666666"


def build(context: Context) -> Drawn | None:
    """None where no method has both."""
    comparison, style = context.comparison, styles(context.comparisons)
    rows = [row for row in comparison.scored if peak_bytes(row) is not None]
    if not rows:
        return None
    peaks = {row.label: peak_bytes(row) or 0 for row in rows}
    unit, name = (2**30, "GiB") if max(peaks.values()) >= 2**30 else (2**20, "MiB")
    figure = Figure(figsize=(8, 5), dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    points = []
    for row in rows:
        estimate, one = row.accuracy[AVERAGE], style[row.label]
        point = (peaks[row.label] / unit, 100 * estimate.mean)
        points.append(point)
        axes.errorbar(
            *point,
            yerr=100 * np.nan_to_num(estimate.stderr),
            color=one.color,
            marker=one.marker,
            markersize=7,
            capsize=3,
        )
    axes.margins(0.14, 0.12)
    axes.set_title(f"{comparison.model} on {comparison.task}", fontsize=11, loc="left")
    axes.set_xlabel(f"peak memory ({name})")
    axes.set_ylabel(f"average accuracy over {len(comparison.benchmarks)} benchmarks (%)")
    if comparison.untrained:
        _mark_untrained(axes, comparison.untrained)
    fix_layout(figure)
    bars = [_error_bar(axes, point, row) for point, row in zip(points, rows, strict=True)]
    labels = [row.label for row in rows]
    place_labels(
        axes, canvas.get_renderer(), points, labels, [style[label].color for label in labels], bars
    )
    caption = (
        "Average accuracy against peak memory of training. Bars: one standard error over items and "
        "seeds."
    )
    return figure, caption


def _mark_untrained(axes: Axes, untrained: Row) -> None:
    """A line, or a word at the foot where a line would squeeze the methods together."""
    level = 100 * untrained.accuracy[AVERAGE].mean
    low, high = axes.get_ylim()
    near = low - level < high - low
    if near:
        axes.axhline(level, color=_UNTRAINED, linestyle="--", linewidth=1)
    axes.annotate(
        f"{untrained.label} (untrained)" + ("" if near else f": {level:.1f} %, far below"),
        (0.99, level if near else 0.0),
        xytext=(0, 4),
        xycoords=("axes fraction", "data" if near else "axes fraction"),
        textcoords="offset points",
        horizontalalignment="right",
        color=_UNTRAINED,
    )


def _error_bar(axes: Axes, point: tuple[float, float], row: Row) -> Bbox:
    """The box of the point's error bar in display coordinates."""
    margin = 100 * float(np.nan_to_num(row.accuracy[AVERAGE].stderr))
    (x, low), (_, high) = axes.transData.transform(
        [(point[0], point[1] - margin), (point[0], point[1] + margin)]
    )
    return Bbox.from_extents(x - 4, low, x + 4, high)
