"""Which items each cell has right, as [seeds, items] tables of the cells that make up a row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lwft_bench.reporting.read.by_cell import ByCell
from lwft_bench.reporting.read.records import ReportedCell

_Tables = tuple[dict[str, pd.DataFrame], dict[str, pd.Series]]
"""Benchmark -> [seeds, items], and of those whose items belong together, item -> cluster."""


class Correctness:
    """Samples by cell, their texts as numbers: thousands of cells have few of them.

    samples: as in `RunRecords`, all or those of some cells.
    """

    def __init__(self, samples: pd.DataFrame) -> None:
        self._by_cell = ByCell(samples)
        self._benchmarks, self._benchmark_names = pd.factorize(samples["benchmark"])
        self._items, self._item_names = pd.factorize(samples["id"], sort=True)
        self._clusters, self._cluster_names = pd.factorize(samples["cluster"])
        self._correct = samples["correct"].to_numpy(dtype=float)

    def of(self, cells: Sequence[ReportedCell]) -> _Tables:
        """Of the done ones of these cells; an item is there where all seeds were asked it."""
        found = [cell for cell in cells if cell.done and len(self._by_cell.places(cell.id))]
        correct: dict[str, pd.DataFrame] = {}
        clusters: dict[str, pd.Series] = {}
        if not found:
            return correct, clusters
        places = [self._by_cell.places(cell.id) for cell in found]
        seeds = np.repeat([cell.seed for cell in found], [len(one) for one in places])
        rows = np.concatenate(places)
        for number in pd.unique(self._benchmarks[rows]):
            own = self._benchmarks[rows] == number
            name = str(self._benchmark_names[number])
            correct[name] = self._table(rows[own], seeds[own])
            cluster_of = self._cluster_of(rows[own])
            if cluster_of.duplicated().any():
                clusters[name] = cluster_of
        return correct, clusters

    def _table(self, rows: np.ndarray, seeds: np.ndarray) -> pd.DataFrame:
        seed_names, seed_at = np.unique(seeds, return_inverse=True)
        items, item_at = np.unique(self._items[rows], return_inverse=True)
        table = np.full((len(seed_names), len(items)), np.nan)
        table[seed_at, item_at] = self._correct[rows]
        asked = ~np.isnan(table).any(axis=0)
        columns = pd.Index(self._item_names[items[asked]], name="id")
        return pd.DataFrame(
            table[:, asked], index=pd.Index(seed_names, name="seed"), columns=columns
        )

    def _cluster_of(self, rows: np.ndarray) -> pd.Series:
        """In the order in which the items first stand there."""
        items, first = np.unique(self._items[rows], return_index=True)
        order = np.argsort(first)
        return pd.Series(
            self._cluster_names[self._clusters[rows[first[order]]]],
            index=pd.Index(self._item_names[items[order]], name="id"),
            name="cluster",
        )
