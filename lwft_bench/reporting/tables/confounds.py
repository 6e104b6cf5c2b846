"""Can the comparison be trusted? Confounds, engagement, failures, and every cell."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from lwft_bench.reporting.numbers.comparison import Comparison, Row
from lwft_bench.reporting.read.records import RunRecords, flatten
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Table

_DONE = {"optimizer_steps", "probing_steps", "target_tokens", "flops"}
"""Of the training record: amounts that make methods unequal as much as settings do."""


def confounds_table(comparison: Comparison) -> Table | None:
    """What differs between the trained methods besides their name.

    A key is compared seed by seed, so that what only follows the seed (the data order's token
    count) is not called a difference. Returns None with fewer than two trained methods.
    """
    rows = comparison.trained
    if len(rows) < 2:
        return None
    recorded = {row.label: _confounds_by_seed(row) for row in rows}
    shown, notes = differences(recorded)
    return Table(
        name=f"confounds{comparison.suffix}",
        title=f"{comparison.model} on {comparison.task}: what differs besides the method's name",
        display=shown,
        values=shown.assign(model=comparison.model, task=comparison.task),
        notes=notes,
        text_columns=tuple(shown.columns),
    )


def differences(
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


def engagement_table(comparison: Comparison) -> Table | None:
    """Did each method do what it says: checks passed of checks made, over the done cells."""
    rows = [row for row in comparison.rows if any(result.engagement for result in row.results)]
    if not rows:
        return None
    display, values, notes = [], [], []
    for row in rows:
        passed: dict[str, list[bool]] = {}
        verdicts = []
        for result in row.results:
            if result.engagement is None:
                continue
            verdicts.append(result.engagement.passed)
            for check in result.engagement.checks:
                passed.setdefault(check.name, []).append(check.passed)
                values.append({"cell": result.cell, **check.model_dump()})
                if not check.passed:
                    notes.append(f"{result.cell} failed {check.name}: {check.detail}")
        display.append(
            {"method": row.label, "engaged": f"{sum(verdicts)} of {len(verdicts)} cells"}
            | {check: f"{sum(found)} of {len(found)}" for check, found in passed.items()}
        )
    frame = pd.DataFrame(display).fillna(show.NOTHING)
    return Table(
        name=f"engagement{comparison.suffix}",
        title=f"{comparison.model} on {comparison.task}: engagement",
        display=frame,
        values=pd.DataFrame(values),
        notes=("Judged from the trace of each run, not from its config.", *notes),
    )


def failures_table(records: RunRecords) -> Table:
    """Every cell that is not done; no rows when all are."""
    rows = []
    for cell in records.cells:
        if not cell.done:
            failure = cell.result.failure if cell.result else None
            phase = failure.phase if failure else show.NOTHING
            rows.append((cell.id, cell.status, phase, cell.error or show.NOTHING))
    frame = pd.DataFrame(rows, columns=["cell", "status", "phase", "error"])
    notes = () if rows else ("Every cell is done.",)
    return Table("failures", "Cells that are not done", frame, frame, notes, tuple(frame.columns))


def cells_table(records: RunRecords) -> Table:
    """Every cell with its status, average and digests; the CSV has every scalar of its result."""
    rows = []
    for cell in records.cells:
        result = cell.result
        average = result.average if result else None
        rows.append(
            (
                cell.id,
                cell.status,
                show.NOTHING if average is None else f"{100 * average:.1f}",
                (result.weights_digest or show.NOTHING)[:12] if result else show.NOTHING,
                result.identity[:12] if result else show.NOTHING,
            )
        )
    columns = ["cell", "status", "average (%)", "weights digest", "identity"]
    return Table(
        "cells",
        "Cells",
        pd.DataFrame(rows, columns=columns),
        records.results,
        ("Digests: the first 12 of 64 hexadecimal digits; in full in the CSV file.",),
        ("status", "weights digest", "identity"),
    )
