"""How much of each benchmark stands in the training data, and scores on what does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.estimates import Estimate
from lwft_bench.reporting.numbers.rows import Row
from lwft_bench.reporting.numbers.statistics import crossed_mean
from lwft_bench.reporting.read.by_cell import ByCell
from lwft_bench.reporting.read.records import NOT_SOUGHT
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Column, Table, plain_values, tabulate
from lwft_bench.reporting.tables.leading import about
from lwft_bench.schema.suite import AVERAGE

_NOTES = (
    "exact: the same words in the same order. near: the same letters in other words, or a run of 8 "
    "to 13 words in common that at most 10 training examples have (Brown et al. 2020, appendix C).",
)

_SOUGHT = ("benchmark", "id", "overlap")


@dataclass(frozen=True)
class _Line:
    """A benchmark or the average over all: its numbers of items by kind, and which are not clean."""

    benchmark: str
    counts: dict[str, int]
    found: dict[str, list[str]]

    def clean(self, row: Row) -> Estimate | None:
        """Over items that were found in neither way; None if a benchmark has none."""
        tables = [
            _without(row.correct[name], identifiers)
            for name, identifiers in self.found.items()
            if name in row.correct
        ]
        if not tables or any(table.shape[1] == 0 for table in tables):
            return None
        return crossed_mean(tables)


def _without(table: pd.DataFrame, items: list[str]) -> np.ndarray:
    values: np.ndarray = table.to_numpy()
    return values[:, ~table.columns.isin(items)] if items else values


def build(context: Context) -> Table | None:
    """One line a benchmark; methods' accuracies on all items and on clean ones where some are not.

    None where no cell looked for overlap.
    """
    comparison = context.comparison
    lines = list(_lines(context))
    if not lines:
        return None
    found = {name: ids for line in lines for name, ids in line.found.items()}
    leaks = any(found.values())
    average = [_Line(AVERAGE, {}, found)] if leaks else []
    return tabulate(
        context.name("contamination"),
        context.title("test questions in the training data"),
        lines + average,
        [
            *_COUNTS,
            *(Column(row.label, partial(_both, row)) for row in comparison.scored if leaks),
        ],
        notes=(
            (*_NOTES, "Accuracy (%): on all items → on those found in neither way.")
            if leaks
            else _NOTES
        ),
        values=plain_values(
            lines,
            [
                *about(context),
                *_COUNTS,
                *(
                    Column(None, partial(_clean_mean, row), plain=f"{row.label}_clean")
                    for row in comparison.scored
                ),
            ],
        ),
    )


def _lines(context: Context) -> Iterator[_Line]:
    """One for each benchmark in whose items training examples were sought."""
    cells = [cell.id for row in context.comparison.scored for cell in row.done]
    samples = pd.DataFrame(_distinct(context.records.samples_by_cell, cells))
    samples = samples[samples["overlap"] != NOT_SOUGHT].drop_duplicates(["benchmark", "id"])
    kinds: Mapping[str, pd.Series] = {
        str(name): group.set_index("id")["overlap"] for name, group in samples.groupby("benchmark")
    }
    for name in context.comparison.benchmarks:
        if name in kinds:
            kind = kinds[name]
            counts = {"items": len(kind)}
            counts |= {one: int((kind == one).sum()) for one in ("exact", "near")}
            yield _Line(name, counts, {name: list(kind.dropna().index)})


def _distinct(samples: ByCell, cells: Sequence[str]) -> dict[str, np.ndarray]:
    """Of cells whose items and overlaps are those of the cell before, as of all seeds, no rows."""
    kept: list[list[np.ndarray]] = []
    known = [cell for cell in cells if len(samples.places(cell))]
    for cell in sorted(known, key=lambda cell: int(samples.places(cell)[0])):
        own = [samples.values(cell, name) for name in _SOUGHT]
        if not kept or not all(map(np.array_equal, own, kept[-1])):
            kept.append(own)
    return {
        name: np.concatenate([own[place] for own in kept] or [np.array([])])
        for place, name in enumerate(_SOUGHT)
    }


def _both(row: Row, line: _Line) -> str:
    return f"{_percent(row.accuracy.get(line.benchmark))} → {_percent(line.clean(row))}"


def _clean_mean(row: Row, line: _Line) -> float | None:
    clean = line.clean(row)
    return clean.mean if clean else None


def _percent(estimate: Estimate | None) -> str:
    return f"{100 * estimate.mean:.1f}" if estimate else show.NOTHING


def _count(kind: str, line: _Line) -> int | str:
    return line.counts.get(kind, "")


_COUNTS: list[Column[_Line]] = [
    Column("benchmark", lambda line: line.benchmark, plain="benchmark"),
    *(Column(kind, partial(_count, kind), plain=kind) for kind in ("items", "exact", "near")),
]
