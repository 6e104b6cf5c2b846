"""The planted layer, one method beside the other."""

from __future__ import annotations

import numpy as np
from matplotlib.lines import Line2D

from lwft_bench.reporting.figures.style import (
    NEUTRAL,
    Drawn,
    colors_of,
    legend_columns,
    new_figure,
    scaled,
)
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.planted import known, planted_cells, stderr


def build(context: Context) -> Drawn | None:
    """Share of draws on the planted layer, one method beside the other."""
    found, colors = planted_cells(context.records), colors_of(context)
    if not found:
        return None
    figure = new_figure(4.6)
    axes = figure.add_subplot()
    for place, (label, cells) in enumerate(found.items()):
        for shift, shares, filled in (
            (-0.12, known(cells, lambda one: one.undamaged), False),
            (0.12, [one.share for one in cells], True),
        ):
            if not shares:
                continue
            axes.errorbar(
                place + shift,
                100 * np.mean(shares),
                yerr=100 * np.nan_to_num(stderr(shares)),
                fmt="o",
                color=colors[label],
                markerfacecolor=colors[label] if filled else "white",
                markersize=scaled(7),
                capsize=scaled(3),
            )
        axes.hlines(
            100 * np.mean([one.uniform for one in cells]),
            place - 0.35,
            place + 0.35,
            colors=NEUTRAL,
            linestyles=":",
        )
    axes.set_xticks(range(len(found)), list(found), rotation=20, ha="right")
    axes.set_ylabel("share of draws (%)")
    axes.set_ylim(bottom=0)
    handles = [
        Line2D([], [], linestyle="", marker="o", color=NEUTRAL, label="planted layer"),
        Line2D(
            [], [], linestyle="", marker="o", color=NEUTRAL, markerfacecolor="white",
            label="the same layer, undamaged",
        ),
        Line2D([], [], color=NEUTRAL, linestyle=":", label="uniform"),
    ]  # fmt: skip
    columns = legend_columns([str(handle.get_label()) for handle in handles], 3)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    caption = (
        "Share of draws on the layer that was drawn anew before fine-tuning, mean over planted layers "
        "and seeds ± one standard error; hollow: on the same layers of the undamaged model."
    )
    return figure, caption
