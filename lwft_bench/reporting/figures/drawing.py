"""Figures as files: their names, what they show, and the bytes of their pictures."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module

from matplotlib import rc_context
from matplotlib.figure import Figure

from lwft_bench.reporting.figures.axes import Canvas
from lwft_bench.reporting.figures.png import as_png
from lwft_bench.reporting.figures.profile import profile_figure, profiles
from lwft_bench.reporting.figures.style import DPI, PAGES, Drawn, fix_layout
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.read.records import RunRecords
from lwft_bench.reporting.render.for_print import ForPrint

_PRINT_DPI = 600
"""Of what is rasterised within figures for print."""
_UNDATED: dict[str, dict[str, None]] = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}
"""No dates and no versions: the same results give the same bytes."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A finished figure: its name, the stem of its files' names, what it shows, and its pictures'
    bytes by format, a PNG one among them.
    """

    name: str
    stem: str
    caption: str
    pictures: dict[str, bytes]

    @property
    def png(self) -> bytes:
        return self.pictures["png"]


def draw(name: str, context: Context, for_print: ForPrint | None = None) -> Drawing | None:
    """The figure that the module of this name builds; None where it has no data."""
    build = import_module(f"lwft_bench.reporting.figures.{name}").build
    return _drawing(name, context.name(name), partial(build, context), for_print or ForPrint())


def draw_profile(
    runs: Sequence[RunRecords], methods: Collection[str] | None, for_print: ForPrint | None = None
) -> Drawing | None:
    """The profile by task over several runs; None where no cell has scores."""
    build = partial(profile_figure, profiles(runs, methods))
    return _drawing("profile", "profile", build, for_print or ForPrint())


def _drawing(
    name: str, stem: str, build: Callable[[], Drawn | None], for_print: ForPrint
) -> Drawing | None:
    """Built once for the screen, and once more where it is wanted for a page."""
    with rc_context(PAGES["screen"].style):
        drawn = build()
        if drawn is None:
            return None
        pictures = _pictures(drawn[0], ["png"])
    if for_print.formats:
        with rc_context(PAGES[for_print.width].style):
            printed = build()
            assert printed is not None
            pictures |= _pictures(printed[0], for_print.formats)
    return Drawing(name, stem, drawn[1], pictures)


def _pictures(figure: Figure, formats: Sequence[str]) -> dict[str, bytes]:
    canvas = Canvas(figure)  # which measures texts for the layout, and draws the same ones
    figure.set_dpi(DPI)
    fix_layout(figure)
    pictures = {}
    for one in formats:
        if one == "png":
            # `savefig` would draw everything twice, once for a layout that is final.
            pictures[one] = as_png(canvas.pixels(), DPI)
        else:
            buffer = io.BytesIO()
            figure.savefig(buffer, format=one, dpi=_PRINT_DPI, metadata=_UNDATED[one])
            pictures[one] = buffer.getvalue()
    return pictures
