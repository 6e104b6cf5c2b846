"""Figures: one style a method, labels that do not lie on each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from built import figures as drawn
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from lwft_bench.reporting.figures.labels import place_labels
from lwft_bench.reporting.figures.probabilities import _spread
from lwft_bench.reporting.figures.style import styles
from lwft_bench.reporting.numbers.comparison import compare
from lwft_bench.reporting.read.records import read_run

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
        "loss",
        "selections",
        "concentration",
        "probabilities",
        "inclusion",
    ]
    assert "fft and lora" in figures["selections"].caption
    assert all(figure.png.startswith(b"\x89PNG") for figure in figures.values())


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
