"""What peak memory is made of, a bar a method."""

from __future__ import annotations

from typing import Any

from lwft_bench.reporting.figures.style import Drawn, legend_columns, new_figure, scaled
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.measurements import memories
from lwft_bench.reporting.render.formatting import memory as shown
from lwft_bench.schema.result import Memory

STACK = {
    "weights": ("#1B2A49", ""),
    "optimizer_state": ("#0072B2", "////"),
    "gradients": ("#D55E00", "...."),
    "activations": ("#56B4E9", ""),
    "logits_and_loss": ("#E69F00", "\\\\\\\\"),
    "staging": ("#CC79A7", "xxxx"),
    "rest": ("#D9D9D9", ""),
}
"""Component -> colour and hatching, from the ground of the stack: dark and light in turn."""


def ordered(components: list[str]) -> list[str]:
    """As they are stacked; those of other names come last."""
    return [*STACK, *sorted(set(components) - STACK.keys())]


def filling(component: str) -> dict[str, Any]:
    """How matplotlib fills its area."""
    color, hatch = STACK.get(component, ("#FFFFFF", "++"))
    return {"facecolor": color, "hatch": hatch, "edgecolor": "white"}


def build(context: Context) -> Drawn | None:
    """None where no components were recorded."""
    largest: dict[str, Memory] = {}
    for row in context.comparison.trained:
        known = [one for one in memories(row) if one.components]
        if known:
            largest[row.label] = max(known, key=lambda one: one.peak_bytes)
    if not largest:
        return None
    peak = max(max(one.peak_bytes, sum(one.components.values())) for one in largest.values())
    unit, name = (2**30, "GiB") if peak >= 2**30 else (2**20, "MiB")
    figure = new_figure(1.6 + 0.42 * len(largest))
    axes = figure.add_subplot()
    axes.grid(visible=False, axis="y")
    places = range(len(largest))
    left = [0.0] * len(largest)
    drawn = []
    for component in ordered([name for one in largest.values() for name in one.components]):
        widths = [one.components.get(component, 0) / unit for one in largest.values()]
        if any(widths):
            axes.barh(
                places,
                widths,
                left=left,
                height=0.7,
                linewidth=scaled(0.6),
                label=component.replace("_", " "),
                **filling(component),
            )
            drawn.append(component)
            left = [start + width for start, width in zip(left, widths, strict=True)]
    for place, (end, one) in enumerate(zip(left, largest.values(), strict=True)):
        if one.method == "allocator":
            axes.plot(one.peak_bytes / unit, place, "|", color="black", ms=scaled(16))
        axes.annotate(
            shown(one.peak_bytes),
            (max(end, one.peak_bytes / unit), place),
            xytext=(scaled(5), 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
        )
    axes.set_yticks(places, list(largest))
    axes.invert_yaxis()
    axes.set_xlim(right=1.16 * peak / unit)
    axes.set_xlabel(f"memory at the instant of the peak ({name})")
    figure.legend(loc="outside lower center", ncols=legend_columns(drawn))
    caption = (
        "What memory is made of at the instant of the overall peak, of the seed that needs most, as "
        "accounted on fake tensors."
    )
    if any(one.method == "allocator" for one in largest.values()):
        caption += " Stroke and number: the allocator's peak."
    return figure, caption
