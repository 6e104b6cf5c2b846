"""Every table of a run, by name."""

from __future__ import annotations

from collections.abc import Sequence

from lwft_bench.reporting.audit_tables import (
    cells_table,
    confounds_table,
    engagement_table,
    failures_table,
)
from lwft_bench.reporting.comparison import Comparison
from lwft_bench.reporting.difference_tables import ablations_table, differences_table
from lwft_bench.reporting.main_table import main_table
from lwft_bench.reporting.measurement_tables import memory_table, training_table
from lwft_bench.reporting.provenance_table import provenance_table
from lwft_bench.reporting.records import RunRecords
from lwft_bench.reporting.table import Table

_OF_COMPARISON = {
    "main": main_table,
    "differences": differences_table,
    "ablations": ablations_table,
    "confounds": confounds_table,
    "engagement": engagement_table,
    "memory": memory_table,
    "training": training_table,
}
"""Tables of one model and task; None where there is nothing to show."""

_OF_RUN = {"failures": failures_table, "cells": cells_table, "provenance": provenance_table}

TABLE_NAMES = (*_OF_COMPARISON, *_OF_RUN)


def comparison_tables(comparison: Comparison) -> dict[str, Table]:
    """Name -> table, for those that have something to show."""
    built = {name: build(comparison) for name, build in _OF_COMPARISON.items()}
    return {name: table for name, table in built.items() if table is not None}


def run_tables(records: RunRecords) -> dict[str, Table]:
    """Name -> table, of the run as a whole."""
    return {name: build(records) for name, build in _OF_RUN.items()}


def tables_named(name: str, records: RunRecords, comparisons: Sequence[Comparison]) -> list[Table]:
    """The tables of this name: one for each model and task, or one for the run."""
    if name in _OF_RUN:
        return [_OF_RUN[name](records)]
    built = [_OF_COMPARISON[name](comparison) for comparison in comparisons]
    return [table for table in built if table is not None]
