"""Tables of a run by name, as its report has them."""

from __future__ import annotations

from lwft_bench.reporting.figures.drawing import Drawing, draw
from lwft_bench.reporting.numbers.comparison import Comparison
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.read.records import RunRecords
from lwft_bench.reporting.render.table import Table
from lwft_bench.reporting.sections import SECTIONS, Scope, build_table


def comparison_tables(records: RunRecords, comparison: Comparison) -> dict[str, Table]:
    """Those of one model and task that have something to show."""
    return _built(Context.of(records).about(comparison), "comparison")


def run_tables(records: RunRecords) -> dict[str, Table]:
    """Those of the run as a whole."""
    return _built(Context.of(records), "run")


def _built(context: Context, scope: Scope) -> dict[str, Table]:
    names = [section.table for section in SECTIONS if section.scope == scope and section.table]
    built = {name: build_table(name, context) for name in names}
    return {name: table for name, table in built.items() if table is not None}


def figures(records: RunRecords) -> dict[str, Drawing]:
    """Those of the first model and task that have data."""
    context = Context.of(records)
    names = [
        name for section in SECTIONS if section.scope == "comparison" for name in section.figures
    ]
    drawn = {name: draw(name, context.about(context.comparisons[0])) for name in names}
    return {name: drawing for name, drawing in drawn.items() if drawing is not None}
