"""Which numbers of a column are marked: the best, and all that are not separable from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lwft_bench.reporting.numbers.comparison import Comparison
from lwft_bench.reporting.numbers.estimates import PairedDifference
from lwft_bench.reporting.numbers.families import Judged
from lwft_bench.reporting.numbers.measurements import DIFFERENT, is_disturbed, unlike_memories
from lwft_bench.reporting.numbers.rows import Row
from lwft_bench.reporting.numbers.verdicts import (
    Pair,
    best_scores,
    groups_of,
    judged_by_key,
    lowest_losses,
    scores_in_pairs,
)
from lwft_bench.reporting.paper.amounts import Amount
from lwft_bench.reporting.paper.lines import Line
from lwft_bench.reporting.paper.metrics import Metric
from lwft_bench.schema.tables import Highlight

Found = Mapping[int, Amount]
"""Place of a line in its block -> what its column shows."""


class Ties:
    """Differences between the rows of a model and task, taken once for all columns of a table."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[int, tuple[str, ...]], dict[Pair, dict[str, PairedDifference]]] = {}

    def between(self, comparison: Comparison, rows: Sequence[Row], key: str) -> dict[Pair, Judged]:
        """As `verdicts.between`."""
        own = (id(comparison), tuple(row.label for row in rows))
        if own not in self._pairs:
            self._pairs[own] = scores_in_pairs(rows)
        return judged_by_key(comparison, self._pairs[own], key)


def marked(
    metric: Metric, lines: Sequence[Line], found: Found, highlight: Highlight, ties: Ties
) -> set[int]:
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
            places |= _tied(metric, lines, members, found, ties)
    return places


def _groups(lines: Sequence[Line], found: Found) -> Iterator[list[int]]:
    for group in dict.fromkeys(line.group for line in lines):
        yield [place for place in found if lines[place].group == group]


def _highest(metric: Metric, members: Sequence[int], found: Found) -> set[int]:
    sign = 1 if metric.better == "higher" else -1
    best = max(sign * found[place].value for place in members)
    return {place for place in members if sign * found[place].value == best}


def _tied(
    metric: Metric, lines: Sequence[Line], members: Sequence[int], found: Found, ties: Ties
) -> set[int]:
    places, rows = {}, []
    for place in members:
        measured = lines[place].measured
        assert measured is not None
        rows.append(measured.row)
        places[measured.row.label] = place
    if metric.kind == "share":
        best = _best_by_accuracy(metric, lines[members[0]], rows, ties)
        return {places[label] for label in best}
    told = (group for group in groups_of(rows) if _can_be_told(metric, group))
    groups = ([places[row.label] for row in group] for group in told)
    return {place for group in groups if len(group) > 1 for place in _lowest(metric, group, found)}


def _can_be_told(metric: Metric, rows: Sequence[Row]) -> bool:
    """Whether the column was obtained alike of all rows."""
    if metric.of_own_cells:
        return not any(map(is_disturbed, rows))
    return metric.kind != "bytes" or not unlike_memories(rows)


def _best_by_accuracy(metric: Metric, first: Line, rows: Sequence[Row], ties: Ties) -> list[str]:
    """By the benchmark that the column shows of this model and task."""
    key = metric.benchmark(first)
    if key is None or first.measured is None:
        return []
    pairs = ties.between(first.measured.comparison, rows, key)
    return [label for _, tied in best_scores(rows, pairs, key) for label in tied]


def _lowest(metric: Metric, members: Sequence[int], found: Found) -> set[int]:
    """By single values of seeds or rounds, where there are such."""
    if not all(found[place].by_seed for place in members):
        return _within(metric, members, found)
    sign = -1 if metric.better == "higher" else 1
    values = {
        str(place): {seed: sign * value for seed, value in found[place].by_seed.items()}
        for place in members
    }
    return set(map(int, lowest_losses(values)))


def _within(metric: Metric, members: Sequence[int], found: Found) -> set[int]:
    """Of costs that are counted: the lowest, and all within a hundredth of it."""
    values = {place: found[place].value for place in members}
    if metric.better == "higher":
        return {
            place for place, value in values.items() if value * DIFFERENT >= max(values.values())
        }
    return {place for place, value in values.items() if value <= min(values.values()) * DIFFERENT}
