"""Figures as files: their names, what they show, and the bytes of their pictures."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib import import_module

from matplotlib import rc_context
from matplotlib.figure import Figure

from lwft_bench.reporting.figures.profile import profile_figure, profiles
from lwft_bench.reporting.figures.style import DPI, STYLE, Drawn, fix_layout
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.read.records import RunRecords


@dataclass(frozen=True, slots=True)
class Drawing:
    """A finished figure: its name, the stem of its file's name, what it shows, and its PNG bytes."""

    name: str
    stem: str
    caption: str
    png: bytes


def draw(name: str, context: Context) -> Drawing | None:
    """The figure that the module of this name builds; None where it has no data."""
    with rc_context(STYLE):
        drawn: Drawn | None = import_module(f"lwft_bench.reporting.figures.{name}").build(context)
        return Drawing(name, context.name(name), drawn[1], _png(drawn[0])) if drawn else None


def draw_profile(runs: Sequence[RunRecords], methods: Collection[str] | None) -> Drawing | None:
    """The profile by task over several runs; None where no cell has scores."""
    with rc_context(STYLE):
        drawn = profile_figure(profiles(runs, methods))
        return Drawing("profile", "profile", drawn[1], _png(drawn[0])) if drawn else None


def _png(figure: Figure) -> bytes:
    fix_layout(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()
