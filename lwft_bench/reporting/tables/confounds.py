"""What differs between the trained methods besides their name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.rows import Row
from lwft_bench.reporting.read.flat import flatten
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Table

_DONE = {"optimizer_steps", "probing_steps", "target_tokens", "flops"}
"""Of the training record: amounts that make methods unequal as much as settings do."""


def build(context: Context) -> Table | None:
    """A line for each setting that differs and a column a method; None with fewer than two trained.

    A key is compared seed by seed, so that what only follows the seed (the data order's token
    count) is not called a difference.
    """
    rows = context.comparison.trained
    if len(rows) < 2:
        return None
    recorded = {row.label: _confounds_by_seed(row) for row in rows}
    shown, notes = what_differs(recorded)
    return Table(
        name=context.name("confounds"),
        title=context.title("what differs besides the method's name"),
        display=shown,
        values=shown.assign(model=context.comparison.model, task=context.comparison.task),
        notes=notes,
        text_columns=tuple(shown.columns),
    )


def what_differs(
    recorded: dict[str, dict[int, dict[str, Any]]],
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """What differs, a line a key and a column a method; and notes on what does not.

    Args:
        recorded: method -> seed -> key -> value.
    """
    keys = dict.fromkeys(
        key for by_seed in recorded.values() for one in by_seed.values() for key in one
    )
    differing = [key for key in keys if _differs(key, list(recorded.values()))]
    display = [
        {"differs": key} | {label: _over_seeds(key, by_seed) for label, by_seed in recorded.items()}
        for key in differing
    ]
    equal = [
        f"{key}: {_over_seeds(key, next(iter(recorded.values())))}"
        for key in keys
        if key not in differing
    ]
    columns = ["differs", *recorded]
    shown = pd.DataFrame(display, columns=columns)
    notes = []
    if not keys:
        notes.append("The cells recorded no confounds.")
    elif not differing:
        notes.append("Nothing that was recorded differs between the methods.")
    if equal:
        notes.append(f"Equal for all methods: {'; '.join(equal)}.")
    return shown, tuple(notes)


def _confounds_by_seed(row: Row) -> dict[int, dict[str, Any]]:
    """Seed -> what was set and how much was done."""
    return {
        result.seed: dict(flatten(result.confounds))
        | (result.training.model_dump(include=_DONE) if result.training else {})
        for result in row.results
    }


def _differs(key: str, methods: Sequence[dict[int, dict[str, Any]]]) -> bool:
    seeds = {seed for by_seed in methods for seed in by_seed}
    return any(
        len({_value(by_seed[seed].get(key)) for by_seed in methods if seed in by_seed}) > 1
        for seed in seeds
    )


def _over_seeds(key: str, by_seed: dict[int, dict[str, Any]]) -> str:
    """One value, or the range over seeds."""
    values = [one.get(key) for one in by_seed.values()]
    numbers = [
        value for value in values if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    if len(numbers) == len(values):
        return show.spread(numbers, _number)
    return " / ".join(dict.fromkeys(map(_value, values)))


def _number(value: float) -> str:
    if value >= 1e7:
        return show.count(value)
    if value == 0 or isinstance(value, int) or value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}".replace("-", "−")


def _value(value: Any) -> str:
    if value is None:
        return show.NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_value, value)) or "none"
    return value if isinstance(value, str) else json.dumps(value)
