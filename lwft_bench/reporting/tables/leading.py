"""The columns that the CSV file of every table of a model and task begins with."""

from __future__ import annotations

from typing import Any

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.render.table import Column


def about(context: Context) -> list[Column[Any]]:
    """The names of the model and of the task, for programs only."""
    comparison = context.comparison
    return [
        Column(None, lambda _: comparison.model, plain="model"),
        Column(None, lambda _: comparison.task, plain="task"),
    ]
