"""Average accuracy against peak memory, a point a method."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox, ScaledTranslation

from lwft_bench.reporting.figures.axes import Canvas
from lwft_bench.reporting.figures.labels import kept_apart, place_labels
from lwft_bench.reporting.figures.style import Drawn, fix_layout, new_figure, scaled, styles
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.measurements import peak_bytes
from lwft_bench.reporting.numbers.rows import Row
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
    figure = new_figure(5)
    canvas = Canvas(figure)
    axes = figure.add_subplot()
    points = [(peaks[row.label] / unit, 100 * row.accuracy[AVERAGE].mean) for row in rows]
    for point, row in zip(points, rows, strict=True):
        axes.update_datalim(
            [(point[0], point[1] - _margin(row)), (point[0], point[1] + _margin(row))]
        )
    axes.autoscale_view()
    axes.margins(0.14, 0.12)
    axes.set_title(f"{comparison.model} on {comparison.task}", loc="left")
    axes.set_xlabel(f"peak memory ({name})")
    axes.set_ylabel(f"average accuracy over {len(comparison.benchmarks)} benchmarks (%)")
    if comparison.untrained:
        _mark_untrained(axes, comparison.untrained)
    fix_layout(figure)
    labels = [row.label for row in rows]
    size = scaled(7)
    places = axes.transData.transform(points) * 72 / figure.dpi  # in points of the page
    high = axes.transData.transform(
        [(x, y + _margin(row)) for (x, y), row in zip(points, rows, strict=True)]
    )
    bars = [*(high[:, 1] * 72 / figure.dpi - places[:, 1])]
    shifts = kept_apart([(x, y) for x, y in places], bars, 1.3 * size)
    drawn = []
    for point, row, shift in zip(points, rows, shifts, strict=True):
        aside = ScaledTranslation(shift / 72, 0, figure.dpi_scale_trans)
        axes.errorbar(
            *point,
            yerr=_margin(row),
            color=style[row.label].color,
            marker=style[row.label].marker,
            markersize=size,
            capsize=scaled(3),
            transform=axes.transData + aside,
        )
        x, y = axes.transData.inverted().transform((axes.transData + aside).transform(point))
        drawn.append((float(x), float(y)))
    boxes = [_error_bar(axes, point, row) for point, row in zip(drawn, rows, strict=True)]
    place_labels(
        axes, canvas.get_renderer(), drawn, labels, [style[label].color for label in labels], boxes
    )
    caption = (
        "Average accuracy against peak memory of training. Bars: one standard error over items and "
        "seeds."
    )
    if any(shifts):
        caption += " Points that would lie on each other are drawn side by side."
    return figure, caption


def _margin(row: Row) -> float:
    """One standard error in percentage points, 0 where there is none."""
    return 100 * float(np.nan_to_num(row.accuracy[AVERAGE].stderr))


def _mark_untrained(axes: Axes, untrained: Row) -> None:
    """A line, or a word at the foot where a line would squeeze the methods together."""
    level = 100 * untrained.accuracy[AVERAGE].mean
    low, high = axes.get_ylim()
    near = low - level < high - low
    if near:
        axes.axhline(level, color=_UNTRAINED, linestyle="--", linewidth=scaled(1))
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
    margin = _margin(row)
    (x, low), (_, high) = axes.transData.transform(
        [(point[0], point[1] - margin), (point[0], point[1] + margin)]
    )
    return Bbox.from_extents(x - 4, low, x + 4, high)
