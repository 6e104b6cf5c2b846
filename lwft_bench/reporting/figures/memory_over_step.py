"""Memory over the operations of one training step, by component."""

from __future__ import annotations

import numpy as np

from lwft_bench.reporting.figures.memory_by_component import filling, ordered
from lwft_bench.reporting.figures.style import (
    NEUTRAL,
    Drawn,
    beside_each_other,
    legend_columns,
    new_figure,
    scaled,
)
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.measurements import memories
from lwft_bench.schema.result import StepMemory


def build(context: Context) -> Drawn | None:
    """A panel a method; None where it was recorded for none."""
    found: dict[str, StepMemory] = {}
    for row in context.comparison.trained:
        known = [one.step for one in memories(row) if one.step and one.step.operations]
        if known:
            found[row.label] = max(known, key=lambda one: _totals(one).max())
    if not found:
        return None
    peak = max(_totals(one).max() for one in found.values())
    unit, name = (2**30, "GiB") if peak >= 2**30 else (2**20, "MiB")
    columns = beside_each_other(len(found), 2.8)
    lines = -(-len(found) // columns)
    figure = new_figure(1.1 + 2.4 * lines)
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
    for panel in grid.flat[len(found) :]:
        panel.set_axis_off()
    components = ordered([one for step in found.values() for one in step.components])
    components = [one for one in components if any(any(_of(step, one)) for step in found.values())]
    for panel, (label, step) in zip(grid.flat, found.items(), strict=False):
        low = np.zeros(len(step.operations))
        for component in components:
            high = low + np.array(_of(step, component)) / unit
            panel.fill_between(
                step.operations,
                low,
                high,
                step="post",
                linewidth=0,
                label=component.replace("_", " "),
                **filling(component),
            )
            low = high
        for start, (before, after) in enumerate(zip(step.phases, step.phases[1:], strict=False), 1):
            if before != after:
                panel.axvline(
                    step.operations[start], color=NEUTRAL, linestyle=":", linewidth=scaled(0.8)
                )
        panel.set_title(label, loc="left")
        panel.set_xlim(step.operations[0], step.operations[-1])
    for panel in grid[:, 0]:
        panel.set_ylabel(f"memory ({name})")
    for panel in grid.flat[max(0, len(found) - columns) : len(found)]:
        panel.set_xlabel("operation of the step")
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=legend_columns(labels))
    phases = " → ".join(dict.fromkeys(phase for one in found.values() for phase in one.phases))
    caption = (
        "Memory over the training step that needs most, operation by operation, as accounted on fake "
        f"tensors; dotted: where phases meet ({phases})."
    )
    return figure, caption


def _of(step: StepMemory, component: str) -> list[int]:
    return step.components.get(component, [0] * len(step.operations))


def _totals(step: StepMemory) -> np.ndarray:
    return np.sum([*step.components.values()], axis=0)
