"""How methods are drawn: colour-blind safe, one colour a method in all figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from lwft_bench.reporting.numbers.comparison import Comparison
from lwft_bench.reporting.numbers.context import Context

DPI = 150
NEUTRAL = "#555555"
"""What belongs to no method."""
Drawn = tuple[Figure, str]
"""A figure and what it shows: what each module here builds."""

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette without yellow, which is too light for lines on white."""
MARKERS = ("o", "s", "^", "D")
LINES = ("-", "--", ":", "-.")
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


def colors_of(context: Context) -> dict[str, str]:
    """Label -> colour."""
    return {label: style.color for label, style in styles(context.comparisons).items()}


def fix_layout(figure: Figure) -> None:
    """Lay the figure out now and for good: limits are final, and saving does not do it again."""
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
