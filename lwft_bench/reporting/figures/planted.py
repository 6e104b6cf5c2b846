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
    changes = list(dict.fromkeys(change for _, change in found))
    labels = list(dict.fromkeys(label for label, _ in found))
    figure = new_figure(2.2 + 2.4 * len(changes))
    panels = dict(
        zip(changes, figure.subplots(len(changes), sharex=True, squeeze=False)[:, 0], strict=True)
    )
    for (label, change), cells in found.items():
        axes, place = panels[change], labels.index(label)
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
    for change, axes in panels.items():
        axes.set_ylabel(f"draws (%), {change}")
        axes.set_ylim(bottom=0)
    panels[changes[-1]].set_xticks(range(len(labels)), labels, rotation=20, ha="right")
    handles = [
        Line2D([], [], linestyle="", marker="o", color=NEUTRAL, label="changed layer"),
        Line2D(
            [], [], linestyle="", marker="o", color=NEUTRAL, markerfacecolor="white",
            label="the same layer, undamaged",
        ),
        Line2D([], [], color=NEUTRAL, linestyle=":", label="uniform"),
    ]  # fmt: skip
    columns = legend_columns([str(handle.get_label()) for handle in handles], 3)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    caption = (
        "Share of draws on the layer that was changed before fine-tuning, mean over changed layers "
        "and seeds ± one standard error; hollow: on the same layers of the undamaged model."
    )
    return figure, caption
