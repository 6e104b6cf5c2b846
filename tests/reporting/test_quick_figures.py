"""What makes figures quick changes no pixel."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from PIL import Image

from lwft_bench.reporting.figures.axes import Canvas, PanelFigure
from lwft_bench.reporting.figures.png import as_png
from lwft_bench.reporting.figures.style import PAGES, fix_layout
from lwft_bench.reporting.figures.texts import Renderer, renderer


def drawn_on(figure: Figure) -> Figure:
    """Panels with shared axes, named and rotated ticks, an offset, a logarithm and a legend."""
    grid = figure.subplots(2, 3, sharey="row", squeeze=False)
    for number, panel in enumerate(grid.flat):
        values = np.arange(1, 9) * 10.0 ** (3 * number - 6)
        panel.plot(values, values + (1e7 if number == 5 else 0), "o-", label="line")
        panel.set_title(f"panel {number}", loc="left")
        panel.set_ylabel("y")
    grid[0, 1].set_xticks(range(3), ["first", "second", "third"], rotation=90, fontsize="small")
    grid[1, 0].set_xscale("log")
    grid[1, 1].tick_params(labelsize=6, right=True, labelright=True)
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center")
    return figure


@pytest.mark.parametrize("page", ["screen", "column"])
def test_copied_ticks_and_kept_measures_give_the_same_pixels(page: str) -> None:
    with rc_context(PAGES[page].style):
        plain = drawn_on(Figure(figsize=(9, 6), dpi=90, layout="constrained"))
        canvas = FigureCanvasAgg(plain)
        canvas.draw()
        quick = drawn_on(PanelFigure(figsize=(9, 6), dpi=90, layout="constrained"))
        other = Canvas(quick)
        fix_layout(quick)
        pixels = other.pixels()
    np.testing.assert_array_equal(pixels, np.asarray(canvas.buffer_rgba()))


def test_a_release_that_was_not_tried_draws_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(renderer(8, 8, 90)) is Renderer
    monkeypatch.setattr("matplotlib.__version_info__", (3, 12, 0, "final", 0))
    assert type(renderer(8, 8, 90)) is RendererAgg


def written_on(figure: Figure, shift: float) -> Figure:
    """Texts at places within pixels, turned, of several lines, as formulas and without smooth edges."""
    for number in range(6):
        place = 0.1 + 0.13 * number
        figure.text(place + shift, place - shift / 3, "Größe 1,5 −3")
        figure.text(place, place + shift, "two\nlines", rotation=25 * number, ha="center")
    figure.text(0.7, 0.2 + shift, "$x^2$ of 4", parse_math=True)
    figure.text(0.7, 0.1 + shift, "stairs", antialiased=False)
    return figure


def test_texts_kept_from_other_figures_give_the_same_pixels() -> None:
    for shift in (0.0, 0.0007, 0.0, 0.0151, 1 / 300):
        plain = written_on(Figure(figsize=(5, 3), dpi=100), shift)
        canvas = FigureCanvasAgg(plain)
        canvas.draw()
        quick = Canvas(written_on(Figure(figsize=(5, 3), dpi=100), shift))
        np.testing.assert_array_equal(quick.pixels(), np.asarray(canvas.buffer_rgba()))


def test_a_forked_process_opens_fonts_of_its_own() -> None:
    Canvas(written_on(Figure(figsize=(5, 3), dpi=100), 0.0)).pixels()
    assert Renderer.glyphs
    assert Renderer.bitmaps
    child = os.fork()
    if not child:
        os._exit(len(Renderer.glyphs) + len(Renderer.bitmaps) > 0)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("opaque", [True, False])
def test_a_picture_is_read_as_it_was_written(opaque: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (13, 7, 4), dtype=np.uint8)
    if opaque:
        pixels[..., 3] = 255
    with Image.open(io.BytesIO(as_png(pixels, 150))) as image:
        image.load()
        assert image.mode == ("RGB" if opaque else "RGBA")
        assert image.info["dpi"] == pytest.approx((150, 150), abs=0.02)
        np.testing.assert_array_equal(np.asarray(image.convert("RGBA")), pixels)
