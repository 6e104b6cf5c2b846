"""Peak memory against sequence length, one line a method, with the budget."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lwft_bench.planning.budget import Allowance
from lwft_bench.planning.suite_plan import SuitePlan
from lwft_bench.reporting.figures.style import STYLE, styled
from lwft_bench.schema.errors import UserError

GIB = 2**30


def draw_plan(plan: SuitePlan, file: Path) -> None:
    """Writes the figure; a panel for each model. The kind of file is the name's ending.

    Raises:
        UserError: All cells are of one length.
    """
    peaks: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in plan.rows:
        cell, needed = row.plan.cell, row.plan.needed
        if needed is not None:
            peak = needed.rounded_peak_bytes + Allowance.of(needed).total
            length = row.plan.batch.shapes[0].length
            peaks[cell.model.name][cell.method.name][length] = peak / GIB
    lengths = {length for methods in peaks.values() for line in methods.values() for length in line}
    if len(lengths) < 2:
        raise UserError(
            "--figure draws peak memory against sequence length, and all cells have the same",
            "Ablate it in the suite: `ablate: {training.max_length: [256, 512, 1024]}`",
        )
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4 * len(peaks), 4.6), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, len(peaks), squeeze=False, sharey=True)[0]
        for axes, (model, methods) in zip(panels, peaks.items(), strict=True):
            for number, (method, line) in enumerate(methods.items()):
                axes.plot(
                    sorted(line),
                    [line[length] for length in sorted(line)],
                    color=styled(number).color,
                    linestyle=styled(number).line,
                    marker=styled(number).marker,
                    label=method,
                )
            if plan.budget is not None:
                axes.axhline(
                    plan.budget / GIB,
                    color="#666666",
                    linestyle="--",
                    label=f"budget: {plan.budget / GIB:.3g} GiB",
                )
            axes.set(title=model, xlabel="tokens a sequence")
            axes.set_xticks(sorted({length for line in methods.values() for length in line}))
        panels[0].set_ylabel("planned peak with allowance, GiB")
        panels[0].set_ylim(bottom=0)
        # In the order of the lines' ends, so that names stand about where their lines do.
        lines = sorted(panels[-1].get_legend_handles_labels()[0], key=_end, reverse=True)
        panels[-1].legend(handles=lines, loc="center left", bbox_to_anchor=(1, 0.5))
        figure.savefig(file)


def _end(line: Line2D) -> float:
    return float(np.asarray(line.get_ydata())[-1])
