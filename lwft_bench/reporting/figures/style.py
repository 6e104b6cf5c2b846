"""How methods are drawn, and on what page: told apart without colours too, alike in all figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib import rcParams
from matplotlib.figure import Figure

from lwft_bench.reporting.figures.axes import PanelFigure, measured_once
from lwft_bench.reporting.numbers.comparison import Comparison
from lwft_bench.reporting.numbers.context import Context

DPI = 150
NEUTRAL = "#555555"
"""What belongs to no method."""
Drawn = tuple[Figure, str]
"""A figure and what it shows: what each module here builds."""

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette without yellow, which is too light for lines on white."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "<")
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (3, 3)))
"""Solid, dashed, dotted, dashed and dotted, wide gaps."""
SCALE = "cividis"
"""Colours of heatmaps: from dark to light only, so that grey tells the same."""
STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.titlesize": "medium",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "legend.frameon": False,
    # A name with dollar signs is a name.
    "text.parse_math": False,
    # Type 3 fonts, which are the default, are refused by many publishers.
    "pdf.fonttype": 42,
    # Ids of shapes would be drawn anew for each file.
    "svg.hashsalt": "lwft-bench",
}

_FONT = 11
"""Size in points that lengths in the figures' sources are meant for."""


@dataclass(frozen=True, slots=True)
class Page:
    """Where a figure is to stand: the width that it fills in inches, and the text's size in points."""

    width: float
    font: float

    @property
    def style(self) -> dict[Any, Any]:
        """Matplotlib's settings for it."""
        ratio = self.font / _FONT
        return STYLE | {
            "font.size": self.font,
            "figure.figsize": (self.width, self.width / 2),
            "lines.linewidth": 1.5 * ratio,
            "axes.linewidth": 0.8 * ratio,
        }


PAGES = {"screen": Page(10.0, 11.0), "text": Page(6.75, 8.0), "column": Page(3.3, 7.0)}
"""For a screen; for print over the width of the text (article, ACL, NeurIPS, ICML), and of one of two
columns."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a method is drawn. Colours, markers and lines have periods of 7, 9 and 5: each tells
    neighbours apart alone, and all three come together again after 315.
    """

    color: str
    marker: str
    line: Any


def styled(number: int) -> Style:
    """The style of the method of this number."""
    return Style(
        COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)], LINES[number % len(LINES)]
    )


def styles(comparisons: Sequence[Comparison]) -> dict[str, Style]:
    """Label -> style, the same for every model and task of the run."""
    rows = [row for comparison in comparisons for row in comparison.rows if row.trains]
    labels = dict.fromkeys(row.label for row in rows)
    return {label: styled(number) for number, label in enumerate(labels)}


def colors_of(context: Context) -> dict[str, str]:
    """Label -> colour."""
    return {label: style.color for label, style in styles(context.comparisons).items()}


def scaled(length: float) -> float:
    """A length (inches or points) meant for text of 11 points, on the page that is drawn on."""
    return float(length * rcParams["font.size"] / _FONT)


def page_width() -> float:
    """In inches."""
    return float(rcParams["figure.figsize"][0])


def beside_each_other(number: int, inches: float, most: int = 3) -> int:
    """How many of `number` panels, each so wide at least, stand in a row of the page."""
    return max(1, min(number, most, int(page_width() / scaled(inches))))


def new_figure(height: float) -> Figure:
    """A figure as wide as the page. height: in inches where text has 11 points."""
    return PanelFigure(figsize=(page_width(), scaled(height)), dpi=DPI, layout="constrained")


def spaced(number: int, shift: float) -> tuple[int, int]:
    """Which of a line's points have markers, for `markevery`: some six of `number`. Lines that lie on
    each other, each with a `shift` (0..1) of its own, show their markers side by side.
    """
    every = max(1, number // 6)
    return min(int(shift * every), max(0, number - 1)), every


def legend_columns(labels: Sequence[str], most: int = 4) -> int:
    """As many as fit beside each other: a letter is about half as wide as high."""
    widest = max((len(label) for label in labels), default=1)
    return beside_each_other(most, (0.52 * widest + 4.5) * _FONT / 72, most)


def fix_layout(figure: Figure) -> None:
    """Lay the figure out now and for good: limits are final, and saving does not do it again."""
    measured_once(figure)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")
