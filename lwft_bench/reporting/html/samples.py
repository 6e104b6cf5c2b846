"""The items of each benchmark with what every cell answered, for the HTML report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.read.in_processes import in_processes
from lwft_bench.results.columns import samples_at
from lwft_bench.results.store import RunStore

MOST_BYTES = 2_500_000
"""Of all texts in a report, over which later items of each benchmark are left out."""

Answer = list[Any]
"""Response, prediction and whether it is correct; an empty list where the cell lacks the item."""


_SHORT = 24
"""Bytes of a short answer."""
_READ = ("benchmark", "id", "prompt", "answer", "response", "prediction", "correct")


@dataclass(slots=True)
class _Item:
    id: str
    prompt: str
    answer: str
    answers: dict[str, Answer] = field(default_factory=dict)

    @property
    def size(self) -> int:
        texts = [self.id, self.prompt, self.answer]
        texts += [str(part) for answer in self.answers.values() for part in answer[:2]]
        return sum(len(text) + 4 for text in texts)


@dataclass(slots=True)
class _Items:
    """The first of a benchmark, and how many there are in all."""

    total: int
    items: list[_Item] = field(default_factory=list)


FirstItems: TypeAlias = dict[str, _Items]
"""By benchmark, of one model and task."""


def first_items(contexts: Sequence[Context]) -> list[Callable[[], FirstItems]]:
    """What makes `found` for `samples`, one of each model and task."""
    return [partial(_items, one, _likely(contexts)) for one in contexts]


def samples(
    contexts: Sequence[Context], found: Sequence[FirstItems] | None = None
) -> list[dict[str, Any]]:
    """Of each model and task: its cells, and by benchmark the items with an answer a cell.

    `total` says how many items there are; where texts are too long, fewer are given of each benchmark.

    Args:
        found: what `first_items` gave, where that was made beside other things.
    """
    found, shown = _given(contexts, found or _all_items(contexts, _likely(contexts)))
    return [
        {
            "cells": [
                {"id": cell.id, "label": row.label, "seed": cell.seed if row.trains else None}
                for row in context.comparison.rows
                for cell in row.done
            ],
            "benchmarks": [
                {
                    "name": name,
                    "total": own.total,
                    "items": [
                        [
                            item.id,
                            item.prompt,
                            item.answer,
                            [
                                item.answers.get(cell.id, [])
                                for row in context.comparison.rows
                                for cell in row.done
                            ],
                        ]
                        for item in own.items[:shown]
                    ],
                }
                for name, own in benchmarks.items()
            ],
        }
        for context, benchmarks in zip(contexts, found, strict=True)
    ]


def _given(
    contexts: Sequence[Context], found: Sequence[FirstItems]
) -> tuple[Sequence[FirstItems], int]:
    """The benchmarks of each context, and how many items of each are given.

    Texts are read of as many items as are likely to be given, and of twice as many until that is said.
    """
    most = _likely(contexts)
    while True:
        items = [own for benchmarks in found for own in benchmarks.values()]
        shown = _number_shown([own.items for own in items])
        if shown < most or all(own.total <= most for own in items):
            return found, shown
        most *= 2
        found = _all_items(contexts, most)


def _likely(contexts: Sequence[Context]) -> int:
    """One more than as many short answers fill the report."""
    answers = sum(len(row.done) * len(row.correct) for c in contexts for row in c.comparison.rows)
    return 1 + MOST_BYTES // (_SHORT * max(1, answers))


def _all_items(contexts: Sequence[Context], most: int) -> list[FirstItems]:
    return list(in_processes(partial(_items, most=most), contexts))


def _items(context: Context, most: int) -> FirstItems:
    """Benchmark -> its first items, at most so many, in the order of the files. What cells were asked in
    other words is another item.
    """
    store, records = RunStore(context.records.folder), context.records
    cells = [cell.id for row in context.comparison.rows for cell in row.done]
    places = [records.samples_by_cell.places(cell) for cell in cells]
    if not sum(map(len, places)):
        return {}
    rows = records.samples.iloc[np.concatenate(places)]
    benchmarks, names = pd.factorize(rows["benchmark"])
    asked = np.concatenate([records.wordings[cell] for cell in cells])
    keys = pd.factorize(rows["id"])[0] * (int(asked.max()) + 1) + asked
    keys = keys * len(names) + benchmarks
    _, first, items = np.unique(keys, return_index=True, return_inverse=True)
    found, wanted = {}, np.zeros(len(first), dtype=bool)
    for number, name in enumerate(names):
        own = np.flatnonzero(benchmarks[first] == number)
        found[str(name)] = _Items(len(own))
        wanted[own[np.argsort(first[own])[:most]]] = True
    known: dict[tuple[str, ...], _Item] = {}
    given = np.split(wanted[items.reshape(-1)], np.cumsum([len(one) for one in places])[:-1])
    for cell, here in zip(cells, given, strict=True):
        columns = samples_at(store, cell, np.flatnonzero(here).tolist())
        for benchmark, *words, response, prediction, correct in zip(
            *map(columns.__getitem__, _READ), strict=True
        ):
            item = (benchmark, *words)
            if item not in known:
                known[item] = _Item(*words)
                found[benchmark].items.append(known[item])
            known[item].answers[cell] = [response, prediction, int(correct)]
    return found


def _number_shown(benchmarks: Sequence[Sequence[_Item]]) -> int:
    """How many items of each are given."""
    total = 0
    longest = max((len(items) for items in benchmarks), default=0)
    for number in range(longest):
        total += sum(items[number].size for items in benchmarks if number < len(items))
        if total > MOST_BYTES:
            return number
    return longest
