"""Texts of figures with less of matplotlib's work: measured, made glyphs and rasterised once for all.

Most texts of a report are the same numbers and names, and many stand at the same place within a pixel.
Nothing here changes a picture. Fonts are forgotten in forked processes. The methods that begin with `_`
are matplotlib's own, which it asks for itself: a release that has none of such a name does its own, and
takes longer, as does one that they were not tried with.
"""

from __future__ import annotations

import math
import os
from typing import Any, ClassVar

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import RendererAgg, get_hinting_flag
from matplotlib.font_manager import FontProperties, findfont, get_font

_NOT_TRIED = (3, 12)
"""matplotlib's version from which on its own methods may ask for something else."""
_PARTS = 64
"""Of a pixel, in which a glyph's place is told."""


class Renderer(RendererAgg):
    """Draws into pixels. What it keeps is kept for all figures of the process."""

    sizes: ClassVar[dict[Any, tuple[float, float, float]]] = {}
    heights: ClassVar[dict[Any, tuple[float | None, ...]]] = {}
    glyphs: ClassVar[dict[Any, tuple[list[Any], list[Any]]]] = {}
    bitmaps: ClassVar[dict[Any, tuple[np.ndarray, int, int]]] = {}

    def get_text_width_height_descent(
        self, s: str, prop: FontProperties, ismath: Any
    ) -> tuple[float, float, float]:
        key = s, hash(prop), ismath, self.dpi
        if key not in self.sizes:
            self.sizes[key] = super().get_text_width_height_descent(s, prop, ismath)
        return self.sizes[key]

    def _get_font_height_metrics(self, prop: FontProperties) -> tuple[float | None, ...]:
        """Of a line: ascent, descent and gap to the next one, as each text would look for them."""
        key = hash(prop), self.dpi
        if key not in self.heights:
            self.heights[key] = _line_of(get_font(findfont(prop)), prop, self.dpi)
        return self.heights[key]

    def draw_text(  # type: ignore[override]  # what follows is given by name
        self, gc: Any, x: float, y: float, s: str, prop: FontProperties, angle: float, **how: Any
    ) -> None:
        self._drawn = s, hash(prop), how.get("ismath", False), self.dpi
        if self._drawn in self.glyphs:
            self._draw_text_glyphs_and_boxes(gc, x, y, angle, *self.glyphs[self._drawn])
        else:
            super().draw_text(gc, x, y, s, prop, angle, **how)

    def _draw_text_glyphs_and_boxes(
        self, gc: Any, x: float, y: float, angle: float, glyphs: Any, boxes: Any
    ) -> None:
        glyphs, boxes = self.glyphs[self._drawn] = list(glyphs), list(boxes)
        if boxes or not gc.get_antialiased():
            super()._draw_text_glyphs_and_boxes(gc, x, y, angle, glyphs, boxes)
            return
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        top = int(self.height)
        for font, size, number, slant, extend, dx, dy in glyphs:
            right, within_x = divmod(round(_PARTS * (x + dx * cos - dy * sin)), _PARTS)
            up, within_y = divmod(round(_PARTS * (self.height - y + dx * sin + dy * cos)), _PARTS)
            key = font, size, self.dpi, number, slant, extend, angle, within_x, within_y
            if key not in self.bitmaps:
                turned = np.array([[cos, -sin], [sin, cos]]) @ [[extend, extend * slant], [0, 1]]
                font.set_size(size, self.dpi)
                font._set_transform((0x10000 * turned).round().astype(int), [within_x, within_y])
                self.bitmaps[key] = _bitmap(font, number)
            pixels, left, high = self.bitmaps[key]
            self._renderer.draw_text_image(
                pixels, left + right, top - high - up + len(pixels), 0, gc
            )

    @classmethod
    def forget(cls) -> None:
        """Lets go of fonts."""
        cls.glyphs.clear()
        cls.bitmaps.clear()


if hasattr(os, "register_at_fork"):
    # Forked processes would share the places in fonts' files; matplotlib forgets its own for that.
    os.register_at_fork(after_in_child=Renderer.forget)


def renderer(width: float, height: float, dpi: float) -> RendererAgg:
    """What a figure of so many pixels is drawn with."""
    tried = matplotlib.__version_info__ < _NOT_TRIED
    return (Renderer if tried else RendererAgg)(width, height, dpi)


def _bitmap(font: Any, number: int) -> tuple[np.ndarray, int, int]:
    """A glyph's pixels, and how far right and up they begin."""
    from matplotlib.ft2font import RenderMode  # in releases that ask for it

    found = font._render_glyph(number, get_hinting_flag(), RenderMode.NORMAL)
    return np.array(found.buffer), found.left, found.top


def _line_of(font: Any, prop: FontProperties, dpi: float) -> tuple[float | None, ...]:
    for table, gap, ascent, descent in (
        ("OS/2", "sTypoLineGap", "sTypoAscender", "sTypoDescender"),
        ("hhea", "lineGap", "ascent", "descent"),
    ):
        if (found := font.get_sfnt_table(table)) is not None:
            scale = 1 / font.get_sfnt_table("head")["unitsPerEm"]
            scale = scale * prop.get_size_in_points() * dpi / 72
            return found[ascent] * scale, -found[descent] * scale, found[gap] * scale
    return None, None, None
