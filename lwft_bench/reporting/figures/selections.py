"""Which units trained when, and how likely each was to be drawn then."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure

from lwft_bench.reporting.figures.axes import PanelFigure
from lwft_bench.reporting.figures.style import (
    SCALE,
    Drawn,
    beside_each_other,
    colors_of,
    page_width,
    scaled,
)
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.rows import Row
from lwft_bench.reporting.numbers.selections import (
    chooses,
    effective_units,
    of_cell,
    period_edges,
    probabilities,
    unit_names,
)
from lwft_bench.reporting.read.by_cell import Periods
from lwft_bench.reporting.read.records import RunRecords
from lwft_bench.reporting.render.formatting import listing

_MOST_OCTAVES = 3.0
_PROBABILITY_CAPTION = (
    " Beside or below it each unit's probability relative to all alike, the darker the smaller; "
    "effectively: exp of the entropy, first and last period."
)


def build(context: Context) -> Drawn | None:
    """A heatmap of units over steps for each method that chooses, its probabilities beside it."""
    records, comparison, colors = context.records, context.comparison, colors_of(context)
    chosen = {row.label: _of_first_seed(records, row) for row in comparison.trained}
    rows = [row for row in comparison.trained if chooses(records, chosen[row.label])]
    if not rows:
        return None
    probable = [row for row in rows if chosen[row.label].draws]
    rows.sort(key=lambda row: row in probable)  # so that the last row has both of its panels
    figure, grid = _panels(len(rows), 2 if probable else 1)
    to_uniform = {row.label: _to_uniform(probabilities(chosen[row.label])) for row in probable}
    farthest = max((np.abs(ratios).max() for ratios in to_uniform.values()), default=1.0)
    limit = min(_MOST_OCTAVES, max(1.0, farthest))
    mesh = None
    for panels, row in zip(grid, rows, strict=True):
        selections = chosen[row.label]
        names = unit_names(records, selections)
        edges = period_edges(selections)
        selected = np.zeros((len(names), len(selections)))
        for period, units in enumerate(selections.units):
            selected[list(units), period] = 1
        white_to_color = ListedColormap(["#F4F4F4", colors[row.label]])
        _heatmap(panels[0], edges, selected, white_to_color, (0, 1))
        panels[0].set_title(row.label, loc="left", color=colors[row.label])
        _name_units(panels[0], names)
        if row in probable:
            ratios = np.transpose(to_uniform[row.label])
            mesh = _heatmap(panels[1], edges, ratios, SCALE, (-limit, limit))
            effective = effective_units(selections)
            _name_units(panels[1], names)
            panels[1].set_title(
                f"probability, of effectively {effective[0]:.1f} → {effective[-1]:.1f} units",
                loc="left",
            )
        elif probable:
            panels[1].set_axis_off()
    beside_it = grid[-1][0].get_position().y0 == grid[-1][-1].get_position().y0
    for panel in grid[-1] if beside_it else grid[-1][-1:]:
        panel.set_xlabel("step")
    if mesh is not None:
        if beside_it:
            for panel in grid[:, 1]:
                panel.set(ylabel="", yticklabels=[])
        shown = [panels[1].get_position() for panels in grid if panels[1].axison]
        right, bottom, top = shown[-1].x1, shown[-1].y0, shown[0].y1
        inch = 1 / page_width()
        beside = figure.add_axes(
            (right + scaled(0.2) * inch, bottom, scaled(0.15) * inch, top - bottom)
        )
        beside.grid(visible=False)
        octaves = np.arange(-np.floor(limit), np.floor(limit) + 1)
        scale = figure.colorbar(mesh, cax=beside, ticks=octaves.tolist())
        scale.set_label("probability, relative to all alike")
        beside.set_yticklabels([_times(octave) for octave in octaves])
    everything = [row.label for row in comparison.trained if row not in rows]
    rest = f" Not shown, for they train the same units throughout: {listing(everything)}."
    seed = rows[0].done[0].seed
    caption = (
        f"Units trained over the steps, seed {seed}: coloured where a unit was selected."
        f"{rest if everything else ''}"
        f"{_PROBABILITY_CAPTION if probable else ''}"
    )
    return figure, caption


def _panels(rows: int, columns: int) -> tuple[Figure, np.ndarray]:
    """[rows, columns] panels; on a narrow page those of a row stand below each other.

    Their places are set in inches: for this many, matplotlib's own layout takes a second.
    """
    across = beside_each_other(columns, 4.0)
    down = rows * columns // across
    width, height, gap = page_width(), scaled(1.25 if rows <= 4 else 0.95), scaled(0.45)
    left, right = scaled(0.8), scaled(1.1 if columns == 2 else 0.2)
    top, bottom = scaled(0.35), scaled(0.6)
    total = top + down * height + (down - 1) * gap + bottom
    figure = PanelFigure(figsize=(width, total))
    grid = figure.subplots(
        down,
        across,
        sharex=True,
        squeeze=False,
        gridspec_kw={
            "left": left / width,
            "right": 1 - right / width,
            "top": 1 - top / total,
            "bottom": bottom / total,
            "hspace": gap / height,
            "wspace": 0.08,
        },
    )
    return figure, grid.reshape(rows, columns)


def _of_first_seed(records: RunRecords, row: Row) -> Periods:
    first = min(row.done, key=lambda cell: cell.seed)
    return of_cell(records, first.id)


def _to_uniform(shares: np.ndarray) -> np.ndarray:
    """Binary logarithm of the ratio of probabilities to equal ones, none below the scale's end."""
    return np.log2(np.maximum(shares * shares.shape[1], 2.0**-_MOST_OCTAVES))


def _times(octave: float) -> str:
    return f"{2**octave:.0f}" if octave >= 0 else f"1/{2**-octave:.0f}"


def _heatmap(
    axes: Axes,
    edges: list[int],
    values: np.ndarray,
    colormap: str | Colormap,
    limits: tuple[float, float],
) -> QuadMesh:
    units = np.arange(values.shape[0] + 1) - 0.5
    axes.grid(visible=False)
    # Rasterised, since in print thin white lines would show between areas that only touch.
    return axes.pcolormesh(
        edges, units, values, cmap=colormap, vmin=limits[0], vmax=limits[1], rasterized=True
    )


def _name_units(axes: Axes, names: list[str]) -> None:
    every = max(1, len(names) // 8)
    axes.set_yticks(range(0, len(names), every), names[::every], fontsize="small")
    axes.set_ylabel("unit")
