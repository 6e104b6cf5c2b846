"""What single cells recorded, for programs: a row a cell, every field a column."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.rows import Row
from lwft_bench.reporting.read.flat import flatten
from lwft_bench.schema.result import CellResult, Memory, Training


def per_cell(
    context: Context,
    rows: Sequence[Row],
    pick: Callable[[CellResult], Memory | Training | None],
) -> pd.DataFrame:
    """The records that `pick` takes from the results of `rows`, those that have one."""
    return pd.DataFrame(
        [
            {
                "model": context.comparison.model,
                "task": context.comparison.task,
                "method": row.label,
                "seed": result.seed,
            }
            | dict(flatten(recorded.model_dump()))
            for row in rows
            for result in row.results
            if (recorded := pick(result)) is not None
        ]
    )
