"""The sections of a report, in order: the one list of its tables and figures.

A table is the module of its name in `tables/`, a figure one in `figures/`; each has one function,
`build(context)`, which returns None where there is nothing to show.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.render.table import Table

Scope = Literal["comparison", "run"]
SCOPES: tuple[Scope, ...] = ("comparison", "run")


@dataclass(frozen=True)
class Section:
    """A heading with a table, figures or both; one that would be empty is left out.

    heading: None for what stands directly under the name of a model and task.
    scope: one for each model and task, or one for the run.
    """

    heading: str | None
    table: str | None = None
    figures: tuple[str, ...] = ()
    scope: Scope = "comparison"


SECTIONS = (
    Section(None, "main", ("accuracy_vs_memory",)),
    Section("Against the published numbers", "published"),
    Section("Against published memory and speed", "published_cost"),
    Section("Test questions in the training data", "contamination"),
    Section("Differences to the baseline", "differences"),
    Section("Differences to the baseline by benchmark", "by_benchmark"),
    Section("Differences between all methods", "pairwise"),
    Section("Robust averages", "robust"),
    Section("What differs besides the method's name", "confounds"),
    Section("Engagement: did the methods do what they say", "engagement"),
    Section("Ablations", "ablations", ("ablation_curves",)),
    Section("Tuning", "tuning"),
    Section("Trials of the tuning", "trials"),
    Section("At equal floating-point operations", "equal_flops"),
    Section("At equal memory", "equal_memory"),
    Section("Speed, timed by turns", "timing"),
    Section("Memory", "memory", ("memory_by_component", "memory_over_step")),
    Section("Training", "training", ("loss",)),
    Section(
        "Selections",
        "selections",
        ("selections", "concentration", "probabilities", "inclusion"),
    ),
    Section("Claims", "claims", scope="run"),
    Section("Planted layer", "planted", ("planted",), scope="run"),
    Section("Layers by task", None, ("profile",), scope="run"),
    Section("Cells that are not done", "failures", scope="run"),
    Section("Where the time went", "time", scope="run"),
    Section("Provenance", "provenance", scope="run"),
    Section("Cells", "cells", scope="run"),
)

TABLE_NAMES = tuple(section.table for section in SECTIONS if section.table)


def contexts(context: Context, scope: Scope) -> Iterator[Context]:
    """One for each model and task, or the run's."""
    if scope == "run":
        yield context
    else:
        yield from map(context.about, context.comparisons)


def build_table(name: str, context: Context) -> Table | None:
    """The table of that name; None if it has nothing to show."""
    table: Table | None = import_module(f"lwft_bench.reporting.tables.{name}").build(context)
    return table


def tables_named(name: str, context: Context) -> list[Table]:
    """The tables of this name: one for each model and task, or one for the run."""
    (scope,) = {section.scope for section in SECTIONS if section.table == name}
    built = [build_table(name, one) for one in contexts(context, scope)]
    return [table for table in built if table is not None]
