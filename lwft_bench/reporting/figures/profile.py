"""What layers score by task: whether they matter differently for different tasks."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from matplotlib.lines import Line2D

from lwft_bench.reporting.figures.style import (
    NEUTRAL,
    Drawn,
    beside_each_other,
    legend_columns,
    new_figure,
    scaled,
    styled,
)
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.selections import of_cell, unit_names
from lwft_bench.reporting.read.records import RunRecords

Profiles = dict[str, dict[str, tuple[list[str], np.ndarray]]]
"""Method -> model and task -> names of units, and [seeds, units] scores relative to their mean."""


def profiles(runs: Sequence[RunRecords], methods: Collection[str] | None = None) -> Profiles:
    """The mean over a run's periods of the scores that units were chosen by, seed by seed.

    A cell's scores are divided by their mean over units: tasks differ in the size of gradients, and
    what is asked is how they are spread over layers.

    Methods that have one task only are left out where another one has several, and so are scores
    below 0.

    Args:
        methods: only these, by name; None: all that recorded scores.
    """
    found: dict[str, dict[str, tuple[list[str], list[np.ndarray]]]] = {}
    for records in runs:
        for cell in records.cells:
            if not cell.done or (methods is not None and cell.method not in methods):
                continue
            periods = of_cell(records, cell.id)
            if not len(periods) or None in periods.scores:
                continue
            scores = np.array(periods.scores).mean(axis=0)
            if scores.min() < 0 or scores.mean() == 0:  # no shares can be made of them
                continue
            names, seeds = found.setdefault(cell.label, {}).setdefault(
                f"{cell.model} on {cell.task}", (unit_names(records, periods), [])
            )
            if len(scores) == len(names):
                seeds.append(scores / scores.mean())
    compared = any(len(tasks) > 1 for tasks in found.values())
    return {
        label: {task: (names, np.array(seeds)) for task, (names, seeds) in tasks.items()}
        for label, tasks in found.items()
        if len(tasks) > 1 or not compared
    }


def build(context: Context) -> Drawn | None:
    """None where the run has one task only."""
    several = len({cell.task for cell in context.records.cells}) > 1
    return profile_figure(profiles([context.records])) if several else None


def profile_figure(found: Profiles) -> Drawn | None:
    """A panel for each method with a line for each task; None where no method has scores."""
    if not found:
        return None
    columns = beside_each_other(len(found), 2.8)
    rows = -(-len(found) // columns)
    figure = new_figure(1.0 + 2.8 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for panel in grid.flat[len(found) :]:
        panel.set_axis_off()
    tasks = list(dict.fromkeys(task for own in found.values() for task in own))
    style = {task: styled(number) for number, task in enumerate(tasks)}
    for panel, (label, own) in zip(grid.flat, found.items(), strict=False):
        for number, (task, (names, seeds)) in enumerate(own.items()):
            units = np.arange(len(names))
            several = len(seeds) > 1
            panel.errorbar(
                units + 0.06 * (number - (len(own) - 1) / 2),
                seeds.mean(axis=0),
                yerr=seeds.std(axis=0, ddof=1) / np.sqrt(len(seeds)) if several else None,
                color=style[task].color,
                marker=style[task].marker,
                linestyle=style[task].line,
                markersize=scaled(4),
                capsize=scaled(2),
                linewidth=scaled(1.2),
            )
            every = max(1, len(names) // 12)
            panel.set_xticks(
                units[::every], names[::every], rotation=90 if every > 1 else 0, fontsize="small"
            )
        panel.axhline(1, color=NEUTRAL, linestyle=":", linewidth=scaled(1))
        panel.set_title(label, loc="left")
        panel.set_ylim(bottom=0)
    for panel in grid[:, 0]:
        panel.set_ylabel("score / mean over units")
    for panel in grid[-1]:
        panel.set_xlabel("unit")
    handles = [
        Line2D([], [], marker=one.marker, ls=one.line, color=one.color, ms=scaled(5), label=task)
        for task, one in style.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=legend_columns(tasks, 2))
    caption = (
        "Scores that units were chosen by (of GRASS, greedy and permuted: the MGN), mean over "
        "periods, relative to their mean over units; mean over seeds ± one standard error. Where the "
        "lines differ, layers matter differently for the tasks."
    )
    return figure, caption
