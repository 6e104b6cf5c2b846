"""Figures: one style a method, labels that do not lie on each other."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from built import figures as drawn
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from lwft_bench.reporting.figures.drawing import draw
from lwft_bench.reporting.figures.labels import kept_apart, place_labels
from lwft_bench.reporting.figures.probabilities import _spread
from lwft_bench.reporting.figures.style import styled, styles
from lwft_bench.reporting.numbers.comparison import compare
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.read.records import read_run
from lwft_bench.reporting.render.for_print import ForPrint

if TYPE_CHECKING:
    from conftest import RunMaker


def test_every_method_has_a_style_of_its_own_in_all_comparisons(maker: RunMaker) -> None:
    for model in ("tiny", "small"):
        for number in range(20):
            maker.add(maker.method(f"method-{number}", 0.5), 0, model=model)
    found = styles(compare(read_run(maker.finish())))
    assert len(found) == len(set(found.values())) == 20


def test_figures_say_what_they_leave_out(run: Path) -> None:
    figures = drawn(read_run(run))
    assert list(figures) == [
        "accuracy_vs_memory",
        "ablation_curves",
        "memory_by_component",
        "loss",
        "selections",
        "concentration",
        "probabilities",
        "inclusion",
    ]
    assert "fft and lora" in figures["selections"].caption
    assert all(figure.png.startswith(b"\x89PNG") for figure in figures.values())


def test_neighbours_differ_without_their_colour() -> None:
    found = [styled(number) for number in range(40)]
    for one, other in pairwise(found):
        assert one.color != other.color and one.marker != other.marker and one.line != other.line


def test_points_and_bars_that_would_lie_on_each_other_stand_side_by_side() -> None:
    points = [(10.0, 5.0), (10.0, 5.0), (10.5, 5.0), (10.0, 30.0), (40.0, 5.0)]
    shifts = kept_apart(points, [0.0, 0.0, 0.0, 2.0, 2.0], 4.0)
    drawn = sorted(x + shift for (x, _), shift in zip(points[:3], shifts, strict=False))
    assert np.allclose(np.diff(drawn), 4.0)
    assert shifts[3:] == [0.0, 0.0]
    assert any(kept_apart(points, [0.0, 0.0, 0.0, 30.0, 0.0], 4.0)[3:4])


def test_figures_for_print_have_a_pages_width_and_no_date(maker: RunMaker) -> None:
    """A name with dollars is a name, and the same results give the same bytes."""
    for value in ("one", "other"):
        maker.add(maker.method("grass", 0.5, num_active=2, ablation={"strategy.rule": value}), 0)
    run = maker.finish()
    for path in (run / "suite.json", *run.glob("cells/*one/*.json")):
        path.write_text(path.read_text("utf-8").replace(':"one"', ':"$x_{$"'), "utf-8")
    context = Context.of(read_run(run))
    assert {row.label for row in context.comparisons[0].rows} == {
        "grass (rule=$x_{$)",
        "grass (rule=other)",
    }
    context = context.about(context.comparisons[0])
    for width, inches in (("text", 6.75), ("column", 3.3)):
        wanted = ForPrint(("pdf", "svg"), width)
        for name in ("accuracy_vs_memory", "ablation_curves"):
            drawing, again = draw(name, context, wanted), draw(name, context, wanted)
            assert drawing is not None and again is not None
            assert drawing.pictures == again.pictures
            assert list(drawing.pictures) == ["png", "pdf", "svg"]
            assert f'width="{72 * inches:g}pt"'.encode() in drawing.pictures["svg"]
            assert b"Date" not in drawing.pictures["pdf"] + drawing.pictures["svg"]


def test_memory_over_a_step_is_drawn_where_it_was_recorded(maker: RunMaker) -> None:
    folder = maker.add(maker.method("fft", 0.5), 0)
    run = maker.finish()
    assert "memory_over_step" not in drawn(read_run(run))
    result = json.loads((folder / "result.json").read_text("utf-8"))
    result["memory"]["step"] = {
        "operations": [0, 7, 9],
        "phases": ["forward", "backward", "update"],
        "components": {"weights": [5, 5, 5], "of_another_name": [0, 9, 1]},
    }
    (folder / "result.json").write_text(json.dumps(result), "utf-8")
    caption = drawn(read_run(run))["memory_over_step"].caption
    assert "(forward → backward → update)" in caption


@pytest.mark.parametrize("spacing", [1.0, 0.05])
def test_labels_keep_clear_of_each_other_and_of_the_points(spacing: float) -> None:
    figure = Figure(figsize=(8, 5), dpi=150)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(xlim=(-1, 10), ylim=(-1, 10))
    points = [(3 + spacing * number % 3, 3 + spacing * number) for number in range(6)]
    texts = [f"method number {number}" for number in range(6)]
    figure.draw_without_rendering()
    place_labels(axes, canvas.get_renderer(), points, texts, ["black"] * 6)
    assert [label.get_text() for label in axes.texts] == texts
    boxes = []
    for label in axes.texts:
        label.update_positions(canvas.get_renderer())
        boxes.append(Text.get_window_extent(label, canvas.get_renderer()))
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number])
        assert not any(box.contains(*axes.transData.transform(point)) for point in points)


def test_the_spread_of_equal_numbers_is_not_negative():
    values = np.random.default_rng(0).random((1, 50)).repeat(5, axis=0)
    assert (values.mean(axis=0) != values[0]).any()  # roundings, in both directions
    assert (_spread(values) >= 0).all()
    assert _spread(values).max() < 1e-15
