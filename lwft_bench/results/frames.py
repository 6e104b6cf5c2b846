"""A run directory as tables: one pandas frame for each kind of row that is on disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lwft_bench.results.store import RunStore
from lwft_bench.schema.result import CellResult

KEYS = ("cell", "model", "method", "task", "seed")
"""The columns that every frame begins with; frames are joined by `cell`."""

_NOT_COLUMNS: Any = {
    "scores": True,
    "identity_components": True,
    "provenance": True,
    "engagement": {"checks": True},
}
"""What of `result.json` is a table of its own or no value."""


@dataclass(frozen=True, slots=True)
class RunFrames:
    """The finished cells of a run, failed ones too.

    Attributes:
        cells: One row a cell. Columns are the key paths of `result.json`, such as `average`,
            `memory.peak_bytes` (bytes) or `confounds.training.lr`; what a cell lacks is missing.
        trials: The same of the trials of a suite that tunes.
        scores: One row a cell and benchmark: `value` and its `stderr` over items, both shares (0..1).
        samples: One row a cell, benchmark and item: what was asked, answered and counted.
        steps: One row a cell and step; probing steps have numbers below zero.
        selections: One row a cell, period and unit: whether the unit trained (`selected`), and with
            which probability, score and age of its score, where the strategy gave these.
    """

    cells: pd.DataFrame
    trials: pd.DataFrame
    scores: pd.DataFrame
    samples: pd.DataFrame
    steps: pd.DataFrame
    selections: pd.DataFrame


def read_run(directory: str | Path) -> RunFrames:
    """Reads what a run wrote.

    Args:
        directory: The run's, such as `reports/arith`.

    Raises:
        UserError: It is no run directory, or was written by another version.
    """
    store = RunStore(Path(directory))
    results = store.results()
    return RunFrames(
        cells=_cells(results),
        trials=_cells(store.trial_results()),
        scores=_frame((r, score.model_dump()) for r in results for score in r.scores),
        samples=_frame((r, row.model_dump()) for r in results for row in store.samples(r.cell)),
        steps=_frame((r, row.model_dump()) for r in results for row in store.steps(r.cell)),
        selections=_frame((r, row) for r in results for row in _by_unit(store, r.cell)),
    )


def _cells(results: Iterable[CellResult]) -> pd.DataFrame:
    rows = [result.model_dump(mode="json", exclude=_NOT_COLUMNS) for result in results]
    frame = pd.json_normalize(rows) if rows else pd.DataFrame()
    first = [*KEYS, "status", "average"]
    return frame.reindex(columns=[*first, *(name for name in frame if name not in first)])


def _frame(rows: Iterable[tuple[CellResult, dict[str, Any]]]) -> pd.DataFrame:
    keyed = [{key: getattr(result, key) for key in KEYS} | row for result, row in rows]
    return pd.DataFrame(keyed) if keyed else pd.DataFrame(columns=list(KEYS))


def _by_unit(store: RunStore, cell: str) -> Iterable[dict[str, Any]]:
    header, periods = store.selections(cell)
    for number, period in enumerate(periods):
        selected = set(period.units)
        for unit in header.units:
            yield {
                "period": number,
                "step": period.step,
                "num_steps": period.num_steps,
                "unit": unit.index,
                "kind": unit.kind,
                "depth": unit.depth,
                "selected": unit.index in selected,
                "probability": _of(period.probabilities, unit.index),
                "score": _of(period.scores, unit.index),
                "age": _of(period.ages, unit.index),
            }


def _of(values: Sequence[float] | None, unit: int) -> float | None:
    return None if values is None else values[unit]
