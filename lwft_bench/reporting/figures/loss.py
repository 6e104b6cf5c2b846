"""Training and validation losses over the steps."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lwft_bench.reporting.figures.style import (
    Drawn,
    beside_each_other,
    legend_columns,
    new_figure,
    scaled,
    spaced,
    styles,
)
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.rows import Row
from lwft_bench.reporting.read.records import RunRecords


def build(context: Context) -> Drawn | None:
    """None where no losses were recorded."""
    records, comparison, style = context.records, context.comparison, styles(context.comparisons)
    losses = {
        row.label: found
        for row in comparison.trained
        if (found := curves(records, row)) is not None
    }
    rows = [row for row in comparison.trained if row.label in losses]
    if not rows:
        return None
    validation = {row.label: points for row in rows if (points := validation_losses(records, row))}
    number = 2 if validation else 1
    columns = beside_each_other(number, 4.0)
    figure = new_figure(0.6 + 4.0 * (number // columns))
    panels = figure.subplots(number // columns, columns, sharey=True, squeeze=False).flat
    window = 1
    for place, row in enumerate(rows):
        found, one = losses[row.label], style[row.label]
        window = max(1, len(found) // 20)
        smooth = found.rolling(window, min_periods=1, center=True).mean()
        mean = smooth.mean(axis="columns")
        panels[0].plot(
            mean.index,
            mean,
            color=one.color,
            linestyle=one.line,
            marker=one.marker,
            markersize=scaled(5),
            markevery=spaced(len(mean), place / len(rows)),
            label=row.label,
        )
        low, high = smooth.min(axis="columns"), smooth.max(axis="columns")
        panels[0].fill_between(mean.index, low, high, color=one.color, alpha=0.15, linewidth=0)
        if row.label in validation:
            steps, values = zip(*validation[row.label], strict=True)
            panels[1].plot(
                steps,
                values,
                color=one.color,
                linestyle=one.line,
                marker=one.marker,
                markersize=scaled(4),
            )
    for panel, title in zip(panels, ("training loss", "validation loss"), strict=False):
        panel.set_title(title)
        panel.set_xlabel("step")
    panels[0].set_ylabel("loss per target token")
    labels = [row.label for row in rows]
    figure.legend(loc="outside lower center", ncols=legend_columns(labels))
    caption = (
        f"Loss per target token, mean over seeds. Training: smoothed over {window} steps, probing "
        "left out, band from the smallest to the largest seed."
    )
    return figure, caption


def curves(records: RunRecords, row: Row) -> pd.DataFrame | None:
    """[steps, seeds] training losses; None where nothing was recorded."""
    own = _steps(records, row)
    own = own[own["step"] >= 0]
    if own.empty:
        return None
    return own.pivot(index="step", columns="cell", values="loss").astype(float)


def _steps(records: RunRecords, row: Row) -> pd.DataFrame:
    return records.steps_by_cell.of_all(cell.id for cell in row.done)


def validation_losses(records: RunRecords, row: Row) -> list[tuple[int, float]]:
    """(steps done, validation loss), mean over seeds, before and after training included."""
    losses: dict[int, dict[str, float]] = {}
    own = _steps(records, row)
    if "validation_loss" in own:
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
