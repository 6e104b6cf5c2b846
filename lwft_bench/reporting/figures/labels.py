"""Text beside the points of a scatter plot, so that none lies on another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
_DISTANCES = (9, 16, 26, 40, 56)
"""In points; from the second on a thin line leads back to the point."""
_ALIGN_X = {1: "left", 0: "center", -1: "right"}
_ALIGN_Y = {1: "bottom", 0: "center", -1: "top"}


def kept_apart(
    points: Sequence[tuple[float, float]], bars: Sequence[float], distance: float
) -> list[float]:
    """How far to the right each point is to be drawn, so that those nearer than `distance` to each
    other stand beside each other in place of on each other.

    Args:
        bars: how far each one's error bar reaches above and below it. All in the same units.
    """

    def touch(one: int, other: int) -> bool:
        (x, y), (other_x, other_y) = points[one], points[other]
        reach = max(distance, bars[one] + bars[other])
        return abs(x - other_x) < distance and abs(y - other_y) < reach

    shifts = [0.0] * len(points)
    left = sorted(range(len(points)), key=lambda number: (points[number], number))
    while left:
        group = [left.pop(0)]
        for member in group:  # which grows
            near = [one for one in left if touch(one, member)]
            group += near
            left = [one for one in left if one not in near]
        middle = sum(points[one][0] for one in group) / len(group)
        for place, one in enumerate(group if len(group) > 1 else ()):
            shifts[one] = middle + distance * (place - (len(group) - 1) / 2) - points[one][0]
    return shifts


def place_labels(
    axes: Axes,
    renderer: RendererBase,
    points: Sequence[tuple[float, float]],
    texts: Sequence[str],
    colors: Sequence[str],
    obstacles: Sequence[Bbox] = (),
) -> None:
    """Label each point at the nearest free place.

    Args:
        points: in data coordinates; the axes' limits must be final.
        obstacles: boxes in display coordinates to keep clear of, such as error bars.
    """
    taken = [*obstacles, *(_around(axes, point) for point in points)]
    for point, text, color in zip(points, texts, colors, strict=True):
        taken.append(_place(axes, renderer, point, text, color, taken))


def _around(axes: Axes, point: tuple[float, float], pixels: float = 9) -> Bbox:
    x, y = axes.transData.transform(point)
    return Bbox.from_extents(x - pixels, y - pixels, x + pixels, y + pixels)


def _place(
    axes: Axes,
    renderer: RendererBase,
    point: tuple[float, float],
    text: str,
    color: str,
    taken: Sequence[Bbox],
) -> Bbox:
    """Add the label where it covers least, the nearest first; returns its box."""
    inside = axes.get_window_extent(renderer)
    best_label, best_box, least = None, Bbox.null(), math.inf
    for distance, direction in product(_DISTANCES, _DIRECTIONS):
        label = _annotate(axes, point, text, color, distance, direction)
        label.update_positions(renderer)
        box = Text.get_window_extent(label, renderer)  # of the text alone, without its line
        outside = not (inside.contains(*box.min) and inside.contains(*box.max))
        crowding = sum(_overlap(box, other) for other in taken) + 1e6 * outside
        if crowding >= least:
            label.remove()
            continue
        if best_label is not None:
            best_label.remove()
        best_label, best_box, least = label, box, crowding
        if crowding == 0:
            break
    return best_box


def _annotate(
    axes: Axes,
    point: tuple[float, float],
    text: str,
    color: str,
    distance: int,
    direction: tuple[int, int],
) -> Annotation:
    x, y = direction
    leader = {"arrowstyle": "-", "color": color, "linewidth": 0.6, "shrinkB": 5}
    return axes.annotate(
        text,
        point,
        xytext=(x * distance, y * distance),
        textcoords="offset points",
        horizontalalignment=_ALIGN_X[x],
        verticalalignment=_ALIGN_Y[y],
        color=color,
        arrowprops=leader if distance > _DISTANCES[0] else None,
    )


def _overlap(box: Bbox, other: Bbox) -> float:
    """Shared area in square pixels."""
    shared = Bbox.intersection(box, other)
    return shared.width * shared.height if shared is not None else 0.0
