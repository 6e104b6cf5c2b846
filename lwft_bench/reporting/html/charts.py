"""What the HTML report draws, as plain data: accuracy, memory, losses and selections."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lwft_bench.reporting.figures.loss import curves, validation_losses
from lwft_bench.reporting.figures.style import LINES, MARKERS, Style, styles
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.measurements import peak_bytes, speed
from lwft_bench.reporting.numbers.rows import Row
from lwft_bench.reporting.numbers.selections import chooses, of_row, period_edges, unit_names
from lwft_bench.reporting.render import formatting as show
from lwft_bench.schema.suite import AVERAGE

_SYMBOLS = dict(
    zip(
        MARKERS,
        ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "pentagon",
         "triangle-left"),
        strict=True,
    )
)  # fmt: skip
_DASHES = dict(zip(LINES, ("solid", "dash", "dot", "dashdot", "longdash"), strict=True))
_DIGITS = 6
"""Significant digits of what is drawn."""


def charts(context: Context) -> dict[str, Any]:
    """Those of one model and task. Texts are plain; whoever draws them escapes them."""
    style = styles(context.comparisons)
    rows = context.comparison.trained
    return {
        "untrained": _untrained(context),
        "points": [
            point | _drawn(style[row.label]) for row in rows if (point := _point(row)) is not None
        ],
        "losses": [
            found | _drawn(style[row.label])
            for row in rows
            if (found := _losses(context, row)) is not None
        ],
        "selections": [one for row in rows for one in _selections(context, row)],
    }


def _drawn(style: Style) -> dict[str, str]:
    return {
        "color": style.color,
        "symbol": _SYMBOLS[style.marker],
        "dash": _DASHES[style.line],
    }


def _untrained(context: Context) -> dict[str, Any] | None:
    row = context.comparison.untrained
    return {"label": row.label, "accuracy": 100 * row.accuracy[AVERAGE].mean} if row else None


def _point(row: Row) -> dict[str, Any] | None:
    peak = peak_bytes(row)
    if peak is None or AVERAGE not in row.accuracy:
        return None
    average, rate = row.accuracy[AVERAGE], speed(row)
    lines = [f"peak memory: {show.memory(peak)}", f"average: {show.accuracy(average)} %"]
    lines += [f"{name}: {show.accuracy(row.accuracy[name])} %" for name in row.correct]
    if rate is not None:
        lines.append(f"target tokens per second: {show.speed(rate)}")
    lines.append(f"seeds: {len(row.done)} of {len(row.cells)}")
    return {
        "label": row.label,
        "bytes": peak,
        "accuracy": _number(100 * average.mean),
        "stderr": _number(100 * float(np.nan_to_num(average.stderr))),
        "lines": lines,
    }


def _losses(context: Context, row: Row) -> dict[str, Any] | None:
    found = curves(context.records, row)
    if found is None:
        return None
    validation = validation_losses(context.records, row)
    return {
        "label": row.label,
        "steps": [int(step) for step in found.index],
        "mean": [_number(value) for value in found.mean(axis="columns")],
        "low": [_number(value) for value in found.min(axis="columns")],
        "high": [_number(value) for value in found.max(axis="columns")],
        "validation_steps": [step for step, _ in validation],
        "validation": [_number(loss) for _, loss in validation],
    }


def _selections(context: Context, row: Row) -> list[dict[str, Any]]:
    """One a seed, of methods that choose."""
    return [
        {
            "label": row.label,
            "seed": cell.seed,
            "names": unit_names(context.records, periods),
            "edges": [int(step) for step in period_edges(periods)],
            "units": [[int(unit) for unit in units] for units in periods.units],
            "probabilities": [
                None if shares is None else [_number(share, 3) for share in shares]
                for shares in periods.probabilities
            ],
        }
        for cell, periods in of_row(context.records, row)
        if chooses(context.records, periods)
    ]


def _number(value: float, digits: int = _DIGITS) -> float | None:
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None
