"""Peak memory against sequence length, one line a method, with the budget."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lwft_bench.errors import UserError
from lwft_bench.planning.budget import Allowance
from lwft_bench.planning.suite_plan import SuitePlan
from lwft_bench.reporting.figures import COLORS, LINES, MARKERS, STYLE

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
                    color=COLORS[number % len(COLORS)],
                    linestyle=LINES[number // len(COLORS) % len(LINES)],
                    marker=MARKERS[number // len(COLORS) % len(MARKERS)],
                    label=method,
                )
            if plan.budget is not None:
                axes.axhline(plan.budget / GIB, color="#666666", linewidth=1)
                axes.annotate(
                    f"{plan.budget / GIB:.3g} GiB",
                    (min(lengths), plan.budget / GIB),
                    textcoords="offset points",
                    xytext=(0, 4),
                    color="#666666",
                )
            axes.set(title=model, xlabel="tokens a sequence")
        panels[0].set_ylabel("planned peak with allowance, GiB")
        panels[0].set_ylim(bottom=0)
        panels[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
        figure.savefig(file)
