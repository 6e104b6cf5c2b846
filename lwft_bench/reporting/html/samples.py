"""The items of each benchmark with what every cell answered, for the HTML report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.results.store import RunStore
from lwft_bench.schema.rows import SampleRow

MOST_BYTES = 2_500_000
"""Of all texts in a report, over which later items of each benchmark are left out."""

Answer = list[Any]
"""Response, prediction and whether it is correct; an empty list where the cell lacks the item."""


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


def samples(contexts: Sequence[Context]) -> list[dict[str, Any]]:
    """Of each model and task: its cells, and by benchmark the items with an answer a cell.

    `total` says how many items there are; where texts are too long, fewer are given of each benchmark.
    """
    found = [(context, _items(context)) for context in contexts]
    shown = _number_shown([items for _, benchmarks in found for items in benchmarks.values()])
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
                    "total": len(items),
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
                        for item in items[:shown]
                    ],
                }
                for name, items in benchmarks.items()
            ],
        }
        for context, benchmarks in found
    ]


def _items(context: Context) -> dict[str, list[_Item]]:
    """Benchmark -> items, in the order of the files. What cells were asked in other words is another
    item.
    """
    store = RunStore(context.records.folder)
    found: dict[str, dict[tuple[str, str, str], _Item]] = {}
    for row in context.comparison.rows:
        for cell in row.done:
            for sample in store.samples(cell.id):
                key = (sample.id, sample.prompt, sample.answer)
                item = found.setdefault(sample.benchmark, {}).setdefault(key, _Item(*key))
                item.answers[cell.id] = _answer(sample)
    return {name: [*items.values()] for name, items in found.items()}


def _answer(sample: SampleRow) -> Answer:
    return [sample.response, sample.prediction, int(sample.correct)]


def _number_shown(benchmarks: Sequence[Sequence[_Item]]) -> int:
    """How many items of each are given."""
    total = 0
    longest = max((len(items) for items in benchmarks), default=0)
    for number in range(longest):
        total += sum(items[number].size for items in benchmarks if number < len(items))
        if total > MOST_BYTES:
            return number
    return longest
