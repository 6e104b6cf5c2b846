"""One method over its seeds, and the difference of two."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from lwft_bench.reporting.numbers.comparability import comparable
from lwft_bench.reporting.numbers.estimates import Estimate, PairedDifference
from lwft_bench.reporting.numbers.statistics import Labels, crossed_means
from lwft_bench.reporting.read.records import ReportedCell
from lwft_bench.schema.result import CellResult
from lwft_bench.schema.suite import AVERAGE


@dataclass(frozen=True, eq=False)
class Row:
    """One method (or one value of an ablated option) over its seeds.

    correct: benchmark -> [seeds, items] frame of correctness, from the done cells.
    clusters: benchmark -> cluster of each item, by its id; only of benchmarks that have such.
    accuracy: benchmark or `AVERAGE` -> estimate; empty when no cell is done.
    differences: the same keys -> this row minus the baseline, where that can be taken.
    over_untrained: this row's average minus that of the untrained model.
    """

    label: str
    method: str
    options: tuple[str, ...]
    trains: bool
    cells: tuple[ReportedCell, ...]
    correct: dict[str, pd.DataFrame]
    clusters: dict[str, pd.Series]
    accuracy: dict[str, Estimate]
    differences: dict[str, PairedDifference]
    over_untrained: PairedDifference | None = None

    def labels(self, benchmark: str, items: pd.Index) -> Labels | None:
        """The clusters of these items, as numbers; None where each is one of its own."""
        if benchmark not in self.clusters:
            return None
        if items is not self.correct[benchmark].columns:
            return _numbered(self.clusters[benchmark], items)
        if benchmark not in self._labels:
            self._labels[benchmark] = _numbered(self.clusters[benchmark], items)
        return self._labels[benchmark]

    @cached_property
    def _labels(self) -> dict[str, Labels]:
        """Those that are asked for again and again: of all of a benchmark's items."""
        return {}

    @cached_property
    def by_seed(self) -> dict[str, pd.Series]:
        """Benchmark -> the score of each seed."""
        return {name: table.mean(axis=1) for name, table in self.correct.items()}

    @property
    def done(self) -> list[ReportedCell]:
        return [cell for cell in self.cells if cell.done]

    @property
    def results(self) -> list[CellResult]:
        """Results of the done cells."""
        return [cell.result for cell in self.done if cell.result is not None]

    @property
    def status(self) -> str:
        """`done`, or how many cells have which status."""
        counts = Counter(cell.status for cell in self.cells)
        if len(counts) == 1:
            return next(iter(counts))
        return ", ".join(f"{number} {status}" for status, number in counts.items())


def _numbered(clusters: pd.Series, items: pd.Index) -> Labels:
    numbers: Labels = pd.factorize(clusters.loc[items])[0]
    return numbers


_TAKEN: WeakKeyDictionary[Row, WeakKeyDictionary[Row, dict[str, PairedDifference]]] = (
    WeakKeyDictionary()
)


def differences(row: Row, reference: Row) -> dict[str, PairedDifference]:
    """Benchmark or `AVERAGE` -> difference; empty if they share no seed or are not comparable.

    Taken once for two rows: many tables ask for the same.
    """
    taken = _TAKEN.setdefault(row, WeakKeyDictionary())
    if reference not in taken:
        taken[reference] = _differences(row, reference)
    return taken[reference]


def _differences(row: Row, reference: Row) -> dict[str, PairedDifference]:
    if not (row.correct and reference.correct):
        return {}
    if not comparable(row.done[0], reference.done[0]):
        return {}
    seeds: list[int] | None = None
    if row.trains and reference.trains:
        seeds = sorted(_seeds(row) & _seeds(reference))
    # Else: the untrained model has no seed, and its one table is paired with each of the other.
    pairs = {}
    for name in row.correct:
        if name not in reference.correct:
            continue
        left, right = row.correct[name], reference.correct[name]
        items = in_both(left.columns, right.columns)
        tables = values_of(left, seeds, items), values_of(right, seeds, items)
        if all(table.size for table in tables):
            pairs[name] = (*tables, row.labels(name, items))
    if not pairs:
        return {}
    num_seeded, same = row.trains + reference.trains, _same_weights(row, reference, seeds)
    single, average = crossed_means(
        {name: left - right for name, (left, right, _) in pairs.items()},
        {name: labels for name, (_, _, labels) in pairs.items()},
    )
    found = {name: PairedDifference(one, num_seeded, same) for name, one in single.items()}
    if pairs.keys() == row.correct.keys():
        found[AVERAGE] = PairedDifference(average, num_seeded, same)
    return found


def _seeds(row: Row) -> set[int]:
    """Those that have samples."""
    return {int(seed) for table in row.correct.values() for seed in table.index}


def _same_weights(row: Row, reference: Row, seeds: list[int] | None) -> bool:
    """Whether digests say so of every one of these seeds."""
    one, other = (
        {result.seed: result.weights_digest for result in rows.results} for rows in (row, reference)
    )
    return bool(seeds) and all(
        one[seed] is not None and one[seed] == other[seed] for seed in seeds or ()
    )


def in_both(items: pd.Index, others: pd.Index) -> pd.Index:
    """Items of one table that the other one has too; looked through only where they differ."""
    return items if items.equals(others) else items.intersection(others)


def values_of(table: pd.DataFrame, seeds: list[int] | None, items: pd.Index) -> np.ndarray:
    """[seeds, items] of a table of correctness; seeds: None for all."""
    if seeds is not None and seeds != table.index.tolist():
        table = table.loc[seeds]
    return (table if items.equals(table.columns) else table[items]).to_numpy()
