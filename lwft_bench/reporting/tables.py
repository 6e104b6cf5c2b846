"""Every table of a run, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lwft_bench.reporting.audit_tables import (
    cells_table,
    confounds_table,
    engagement_table,
    failures_table,
)
from lwft_bench.reporting.comparison import Comparison
from lwft_bench.reporting.contamination_table import contamination_table
from lwft_bench.reporting.difference_tables import (
    ablations_table,
    differences_table,
    pairwise_table,
)
from lwft_bench.reporting.equal_cost_tables import equal_flops_table, equal_memory_table
from lwft_bench.reporting.main_table import main_table
from lwft_bench.reporting.measurement_tables import memory_table, training_table
from lwft_bench.reporting.planted import planted_table
from lwft_bench.reporting.provenance_table import provenance_table
from lwft_bench.reporting.published_table import published_cost_table, published_table
from lwft_bench.reporting.records import RunRecords
from lwft_bench.reporting.selection_tables import selections_table
from lwft_bench.reporting.table import Table
from lwft_bench.reporting.tuning_tables import trials_table, tuning_table

_OF_COMPARISON = {
    "main": main_table,
    "differences": differences_table,
    "pairwise": pairwise_table,
    "ablations": ablations_table,
    "confounds": confounds_table,
    "engagement": engagement_table,
    "memory": memory_table,
    "training": training_table,
    "equal_memory": equal_memory_table,
}
"""Tables of one model and task; None where there is nothing to show."""

_OF_RECORDS = {
    "published": published_table,
    "published_cost": published_cost_table,
    "contamination": contamination_table,
    "selections": selections_table,
    "equal_flops": equal_flops_table,
    "tuning": tuning_table,
    "trials": trials_table,
}
"""The same, made from more than the comparison: what the suite says, what cells recorded over time,
and trials."""

_OF_RUN: dict[str, Callable[[RunRecords], Table | None]] = {
    "planted": planted_table,
    "failures": failures_table,
    "cells": cells_table,
    "provenance": provenance_table,
}
"""Tables of the whole run; None where there is nothing to show."""

TABLE_NAMES = (*_OF_COMPARISON, *_OF_RECORDS, *_OF_RUN)


def comparison_tables(records: RunRecords, comparison: Comparison) -> dict[str, Table]:
    """Name -> table, for those that have something to show."""
    built = {name: build(comparison) for name, build in _OF_COMPARISON.items()}
    built |= {name: build(records, comparison) for name, build in _OF_RECORDS.items()}
    return {name: table for name, table in built.items() if table is not None}


def run_tables(records: RunRecords) -> dict[str, Table]:
    """Name -> table, of the run as a whole."""
    built = {name: build(records) for name, build in _OF_RUN.items()}
    return {name: table for name, table in built.items() if table is not None}


def tables_named(name: str, records: RunRecords, comparisons: Sequence[Comparison]) -> list[Table]:
    """The tables of this name: one for each model and task, or one for the run."""
    built: list[Table | None]
    if name in _OF_RUN:
        built = [_OF_RUN[name](records)]
    elif name in _OF_RECORDS:
        built = [_OF_RECORDS[name](records, comparison) for comparison in comparisons]
    else:
        built = [_OF_COMPARISON[name](comparison) for comparison in comparisons]
    return [table for table in built if table is not None]
