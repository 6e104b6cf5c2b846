"""Matplotlib's panels with less of its work: what it does again and again for a tick or text, once.

Nothing here changes a picture. What is replaced of single axes are methods that are no part of
matplotlib's interface: where a release has none of that name it does its own, and takes longer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis, Tick
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure

from lwft_bench.reporting.figures.texts import renderer

_TICK = "_get_tick"
_ALIKE = "_copy_tick_props"
_TICKS = "_update_ticks"
_BOXES = "_get_ticklabel_bboxes"


class PanelFigure(Figure):
    """Further ticks of a panel's axis are copies of its first one, in a fifth of the time.

    Matplotlib makes them anew and gives them the properties of the first one.
    """

    def add_subplot(self, *args: Any, **kwargs: Any) -> Axes:
        panel = super().add_subplot(*args, **kwargs)
        for axis in (panel.xaxis, panel.yaxis):
            made = getattr(axis, _TICK, None)
            if made is not None and hasattr(axis, _ALIKE):
                setattr(axis, _TICK, _copies(axis, made))
                setattr(axis, _ALIKE, _nothing)
        return panel


def _copies(axis: Axis, made: Callable[..., Tick]) -> Callable[[bool], Tick]:
    def tick(major: bool) -> Tick:
        there = axis.__dict__.get("majorTicks" if major else "minorTicks")
        return _copied(there[0]) if there else made(major)

    return tick


def _nothing(first: Tick, other: Tick) -> None:
    """A copy needs no properties of the first one."""


def _copied(tick: Tick) -> Tick:
    """What is seen of it as an own copy; its other side, which is not, is shared."""
    other = copy(tick)
    for name in ("tick1line", "gridline", "label1"):
        setattr(other, name, copy(getattr(tick, name)))
    other.label1.set_fontproperties(copy(tick.label1.get_fontproperties()))
    for name in ("tick2line", "label2"):
        if getattr(tick, name).get_visible():
            setattr(other, name, copy(getattr(tick, name)))
    return other


class Canvas(FigureCanvasAgg):
    """What a figure is measured and drawn on."""

    _of: Any = None

    def get_renderer(self) -> RendererAgg:
        size = (*self.get_width_height(physical=True), self.figure.dpi)
        if size != self._of:
            self.renderer, self._of = renderer(*size), size
        return self.renderer

    def pixels(self) -> np.ndarray:
        """[height, width, 4] bytes of the figure as it is now. What was drawn on is let go of."""
        self.draw()
        found = np.asarray(self.buffer_rgba())
        del self.renderer
        self._of = None
        return found


def measured_once(figure: Figure) -> None:
    """Where an axis has its ticks, and how large their labels are, is found once for a place and limits.

    Laying a figure out asks four times for each, drawing it three times. Call it when nothing but that
    is left to be done.
    """
    for axis in (axis for panel in figure.axes for axis in (panel.xaxis, panel.yaxis)):
        if _TICKS in axis.__dict__:
            continue
        ticks, boxes = getattr(axis, _TICKS, None), getattr(axis, _BOXES, None)
        if ticks is not None and boxes is not None:
            kept = _Kept(axis, ticks, boxes)
            setattr(axis, _TICKS, kept.ticks)
            setattr(axis, _BOXES, kept.boxes)


class _Kept:
    """What an axis found last."""

    def __init__(
        self, axis: Axis, ticks: Callable[[], list[Tick]], boxes: Callable[..., Any]
    ) -> None:
        self._axis, self._find_ticks, self._find_boxes = axis, ticks, boxes
        self._at: Any = None
        self._ticks: list[Tick] = []
        self._boxes: Any = None
        self._by: Any = None

    def ticks(self) -> list[Tick]:
        panel = self._axis.axes
        at = (*self._axis.get_view_interval(), *panel.bbox.bounds, panel.figure.dpi)
        if at != self._at:
            self._at, self._ticks, self._boxes = at, self._find_ticks(), None
        return self._ticks

    def boxes(self, ticks: Sequence[Tick], renderer: Any = None) -> Any:
        if ticks is not self._ticks:
            return self._find_boxes(ticks, renderer)
        if self._boxes is None or renderer is not self._by:
            self._boxes, self._by = self._find_boxes(ticks, renderer), renderer
        return self._boxes
