"""The figures of a report: colour-blind safe, one colour a method in all of them."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from lwft_bench.config.suite import AVERAGE
from lwft_bench.reporting.figures.inclusion import concentration_figure, inclusion_figure
from lwft_bench.reporting.figures.labels import place_labels
from lwft_bench.reporting.figures.planted import planted_figure
from lwft_bench.reporting.figures.profile import profile_figure, profiles
from lwft_bench.reporting.figures.selections import probabilities_figure, selections_figure
from lwft_bench.reporting.numbers.comparison import Comparison, Row
from lwft_bench.reporting.numbers.measurements import peak_bytes
from lwft_bench.reporting.read.records import RunRecords

_DPI = 150
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette without yellow, which is too light for lines on white."""
MARKERS = ("o", "s", "^", "D")
LINES = ("-", "--", ":", "-.")
_UNTRAINED = "#666666"
STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E6E6E6",
    "legend.frameon": False,
}


@dataclass(frozen=True, slots=True)
class Style:
    """How a method is drawn; the colours repeat after seven, then with another marker and line."""

    color: str
    marker: str
    line: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """A finished figure: the stem of its file's name, what it shows, and its PNG bytes."""

    stem: str
    caption: str
    png: bytes


def styles(comparisons: Sequence[Comparison]) -> dict[str, Style]:
    """Label -> style, the same for every model and task of the run."""
    rows = [row for comparison in comparisons for row in comparison.rows if row.trains]
    return {
        label: Style(
            COLORS[number % len(COLORS)],
            MARKERS[number // len(COLORS) % len(MARKERS)],
            LINES[number // len(COLORS) % len(LINES)],
        )
        for number, label in enumerate(dict.fromkeys(row.label for row in rows))
    }


def draw(
    records: RunRecords, comparison: Comparison, style: Mapping[str, Style]
) -> dict[str, Drawing]:
    """Name -> figure, for those that the comparison has data for."""
    colors = {label: one.color for label, one in style.items()}
    lines = {label: one.line for label, one in style.items()}
    with rc_context(STYLE):
        figures = {
            "accuracy_vs_memory": _accuracy_vs_memory(comparison, style),
            "loss": _loss(records, comparison, style),
            "selections": selections_figure(records, comparison, colors),
            "concentration": concentration_figure(records, comparison, colors, lines),
            "probabilities": probabilities_figure(records, comparison, colors),
            "inclusion": inclusion_figure(records, comparison, colors),
        }
        return {
            name: Drawing(f"{name}{comparison.suffix}", drawn[1], _png(drawn[0]))
            for name, drawn in figures.items()
            if drawn is not None
        }


def draw_run(records: RunRecords, style: Mapping[str, Style]) -> dict[str, Drawing]:
    """Name -> figure, of the run as a whole, for those that it has data for."""
    several = len({cell.task for cell in records.cells}) > 1
    with rc_context(STYLE):
        colors = {label: one.color for label, one in style.items()}
        figures = {
            "planted": planted_figure(records, colors),
            "profile": profile_figure(profiles([records]), COLORS) if several else None,
        }
        return {
            name: Drawing(name, drawn[1], _png(drawn[0]))
            for name, drawn in figures.items()
            if drawn is not None
        }


def draw_profile(runs: Sequence[RunRecords], methods: Collection[str] | None) -> Drawing | None:
    """The profile by task over several runs; None where no cell has scores."""
    with rc_context(STYLE):
        drawn = profile_figure(profiles(runs, methods), COLORS)
        return Drawing("profile", drawn[1], _png(drawn[0])) if drawn else None


def _png(figure: Figure) -> bytes:
    _fix_layout(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def _fix_layout(figure: Figure) -> None:
    """Lay the figure out now and for good: limits are final, and saving does not do it again."""
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine("none")


def _accuracy_vs_memory(
    comparison: Comparison, style: Mapping[str, Style]
) -> tuple[Figure, str] | None:
    rows = [row for row in comparison.scored if peak_bytes(row) is not None]
    if not rows:
        return None
    peaks = {row.label: peak_bytes(row) or 0 for row in rows}
    unit, name = (2**30, "GiB") if max(peaks.values()) >= 2**30 else (2**20, "MiB")
    figure = Figure(figsize=(8, 5), dpi=_DPI, layout="constrained")
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
    _fix_layout(figure)
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


def _loss(
    records: RunRecords, comparison: Comparison, style: Mapping[str, Style]
) -> tuple[Figure, str] | None:
    rows = [row for row in comparison.trained if _curves(records.steps, row) is not None]
    if not rows:
        return None
    validation = {row.label: points for row in rows if (points := _validation(records, row))}
    figure = Figure(figsize=(10, 4.6), dpi=_DPI, layout="constrained")
    panels = figure.subplots(1, 2 if validation else 1, sharey=True, squeeze=False)[0]
    window = 1
    for row in rows:
        curves, one = _curves(records.steps, row), style[row.label]
        assert curves is not None
        window = max(1, len(curves) // 20)
        smooth = curves.rolling(window, min_periods=1, center=True).mean()
        mean = smooth.mean(axis="columns")
        panels[0].plot(mean.index, mean, one.line, color=one.color, label=row.label)
        low, high = smooth.min(axis="columns"), smooth.max(axis="columns")
        panels[0].fill_between(mean.index, low, high, color=one.color, alpha=0.15, linewidth=0)
        if row.label in validation:
            steps, losses = zip(*validation[row.label], strict=True)
            panels[1].plot(
                steps, losses, one.line, color=one.color, marker=one.marker, markersize=4
            )
    for panel, title in zip(panels, ("training loss", "validation loss"), strict=False):
        panel.set_title(title, fontsize=11)
        panel.set_xlabel("step")
    panels[0].set_ylabel("loss per target token")
    figure.legend(loc="outside lower center", ncols=4)
    caption = (
        f"Loss per target token, mean over seeds. Training: smoothed over {window} steps, probing "
        "left out, band from the smallest to the largest seed."
    )
    return figure, caption


def _curves(steps: pd.DataFrame, row: Row) -> pd.DataFrame | None:
    """[steps, seeds] training losses; None where nothing was recorded."""
    own = steps[steps["cell"].isin([cell.id for cell in row.done]) & (steps["step"] >= 0)]
    if own.empty:
        return None
    return own.pivot(index="step", columns="cell", values="loss").astype(float)


def _validation(records: RunRecords, row: Row) -> list[tuple[int, float]]:
    """(steps done, validation loss), mean over seeds, before and after training included."""
    losses: dict[int, dict[str, float]] = {}
    steps = records.steps
    if "validation_loss" in steps:
        own = steps[steps["cell"].isin([cell.id for cell in row.done])]
        for found in own[own["validation_loss"].notna()].itertuples():
            losses.setdefault(found.step + 1, {})[found.cell] = found.validation_loss
    for result in row.results:
        training = result.training
        if training and training.validation_loss_before is not None:
            losses.setdefault(0, {})[result.cell] = training.validation_loss_before
        if training and training.validation_loss_after is not None:
            done = losses.setdefault(training.optimizer_steps, {})
            done[result.cell] = training.validation_loss_after
    return [(step, float(np.mean([*losses[step].values()]))) for step in sorted(losses)]
