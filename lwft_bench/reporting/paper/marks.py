"""Which numbers of a column are marked: the best, and all that are not separable from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lwft_bench.reporting.numbers.measurements import DIFFERENT
from lwft_bench.reporting.numbers.verdicts import best_scores, lowest_losses
from lwft_bench.reporting.paper.lines import Line
from lwft_bench.reporting.paper.metrics import Metric, Quantity
from lwft_bench.schema.tables import Highlight

Found = Mapping[int, Quantity]
"""Place of a line in its block -> what its column shows."""


def marked(metric: Metric, lines: Sequence[Line], found: Found, highlight: Highlight) -> set[int]:
    """Places of the lines of a block whose number is marked.

    With `ties`, groups of lines of one model and task are told apart by the tests of the report: what
    is quoted has no spread, so nothing is said of it.
    """
    if highlight == "none" or not metric.better:
        return set()
    places: set[int] = set()
    for members in _groups(lines, found):
        if len(members) < 2:
            continue
        if highlight == "best":
            places |= _highest(metric, members, found)
        elif lines[members[0]].measured is not None:
            places |= _tied(metric, lines, members, found)
    return places


def _groups(lines: Sequence[Line], found: Found) -> Iterator[list[int]]:
    for group in dict.fromkeys(line.group for line in lines):
        yield [place for place in found if lines[place].group == group]


def _highest(metric: Metric, members: Sequence[int], found: Found) -> set[int]:
    sign = 1 if metric.better == "higher" else -1
    best = max(sign * found[place].value for place in members)
    return {place for place in members if sign * found[place].value == best}


def _tied(metric: Metric, lines: Sequence[Line], members: Sequence[int], found: Found) -> set[int]:
    labels = {}
    for place in members:
        measured = lines[place].measured
        assert measured is not None
        labels[measured.row.label] = place
    if metric.kind == "share":
        return {labels[label] for label in _best_by_accuracy(metric, lines, members)}
    if all(found[place].by_seed for place in members):
        sign = -1 if metric.better == "higher" else 1
        values = {
            label: {seed: sign * value for seed, value in found[place].by_seed.items()}
            for label, place in labels.items()
        }
        return {labels[label] for label in lowest_losses(values)}
    return _within(metric, members, found)


def _best_by_accuracy(
    metric: Metric, lines: Sequence[Line], members: Sequence[int]
) -> Sequence[str]:
    """By the benchmark that the column shows of this model and task."""
    first = lines[members[0]]
    key = metric.benchmark(first)
    if key is None or first.measured is None:
        return []
    rows = [line.measured.row for place in members if (line := lines[place]).measured]
    return best_scores(first.measured.comparison, rows, key)


def _within(metric: Metric, members: Sequence[int], found: Found) -> set[int]:
    """Of costs that are counted: the lowest, and all within a hundredth of it."""
    values = {place: found[place].value for place in members}
    if metric.better == "higher":
        return {
            place for place, value in values.items() if value * DIFFERENT >= max(values.values())
        }
    return {place for place, value in values.items() if value <= min(values.values()) * DIFFERENT}
