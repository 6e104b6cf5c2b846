"""Tables of a paper, as a person writes them: `tables:` of a suite, or of a file of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, NonNegativeInt, Tag, model_validator

from lwft_bench.schema.base import Config
from lwft_bench.schema.naming import unknown
from lwft_bench.schema.problems import KeyPath, Locate, Problem

Preset = Literal["paper", "memory", "efficiency", "ablation"]
PRESETS: tuple[Preset, ...] = ("paper", "memory", "efficiency", "ablation")
BlockKey = Literal["model", "task", "method", "ablation"]
PlusMinus = Literal["stderr", "interval", "seeds", "none"]
Highlight = Literal["ties", "best", "none"]
Notes = Literal["full", "short", "none"]
PaperStyle = Literal["article", "acl", "neurips", "icml", "iclr"]
Width = Literal["column", "text"]

COLUMNS = {
    "benchmarks": "accuracy of each benchmark, a column each",
    "average": "accuracy, mean over the task's benchmarks",
    "difference": "average minus the baseline's, in points",
    "from_first": "average minus that of the block's first row, in points",
    "peak_memory": "peak of device memory while training",
    "memory_ratio": "peak memory over the baseline's",
    "memory_by_component": "what there is at the peak, a column each component",
    "offloaded": "optimizer state on the host at the end",
    "throughput_by_turns": "target tokens per second of steps that all methods made by turns",
    "speed_ratio": "tokens per second over the baseline's, of steps made by turns",
    "throughput": "target tokens per second of a cell's own training steps",
    "end_to_end_throughput": "target tokens per second of all that the method does while it trains",
    "training_time": "seconds of training, probing, measuring and switches",
    "flops": "floating-point operations executed while training",
    "trained_parameters": "parameters that received an update",
    "active_parameters": "parameters updated in a step, mean",
    "seeds": "seeds that are done",
}
"""What a column can show besides a benchmark, and what that is."""


class ColumnSpec(Config):
    """One column. A name alone stands for `{show: NAME}`."""

    show: str = "accuracy"
    """`accuracy` of `benchmark`, or what `COLUMNS` names."""
    benchmark: str | tuple[str, ...] = ()
    """With `accuracy`: a benchmark, or several of which each row shows the first that it has."""
    label: str = ""
    """The heading; empty: the name."""
    digits: Annotated[NonNegativeInt, Field(le=6)] | None = None
    """Decimals; None: the table's."""

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """The benchmarks that it may show."""
        return (self.benchmark,) if isinstance(self.benchmark, str) else self.benchmark

    @model_validator(mode="after")
    def _benchmark_and_accuracy_come_together(self) -> ColumnSpec:
        if (self.show == "accuracy") != bool(self.benchmark):
            raise ValueError(
                "`benchmark` goes with `show: accuracy`, which is what it stands for alone"
            )
        return self


def _shape(value: Any) -> str | None:
    if isinstance(value, str):
        return "<name>"
    return "<mapping>" if isinstance(value, dict | ColumnSpec) else None


ColumnEntry = Annotated[
    Annotated[str, Tag("<name>")] | Annotated[ColumnSpec, Tag("<mapping>")],
    Discriminator(
        _shape,
        custom_error_type="name_or_mapping",
        custom_error_message="Input should be a name or a mapping",
    ),
]
NameList = Annotated[tuple[str, ...], Field(min_length=1)]


class TableSpec(Config):
    """One table over runs. What is left out is the preset's, or what the runs have."""

    preset: Preset = "paper"
    """`paper`: accuracy, a block a model. `memory`: peaks and what they are made of. `efficiency`:
    memory, throughput, time, operations, parameters. `ablation`: a block a method, a row a value."""
    title: str = ""
    """The caption."""
    models: NameList | None = None
    """Only these, in this order."""
    tasks: NameList | None = None
    """Only these, together in one table. None: all, and a table each."""
    methods: NameList | None = None
    """Only these as rows, in this order."""
    blocks: tuple[BlockKey, ...] | None = None
    """What rows are grouped by, the outermost first."""
    columns: Annotated[tuple[ColumnEntry, ...], Field(min_length=1)] | None = None
    """Benchmarks, and what `lwft_bench.schema.tables.COLUMNS` names."""
    order: Literal["listed", "best"] = "listed"
    """Of the rows of a block: as listed, or the highest first column of accuracy first."""
    labels: dict[str, str] = {}
    """Name of a model, method, task, benchmark or column -> what is printed for it."""
    digits: Annotated[NonNegativeInt, Field(le=6)] | None = None
    """Decimals; None: one for accuracy, three digits in all for the rest."""
    plus_minus: PlusMinus | None = None
    """What stands behind ±: the standard error over items and seeds, half of the 95 % interval, the
    standard deviation over seeds, or nothing."""
    highlight: Highlight | None = None
    """`ties`: the best of a column and all that are not separable from it are marked alike. `best`:
    the highest number alone, whatever noise allows to say."""
    notes: Notes = "short"
    """What stands under the table. What cannot be compared is told in any case."""
    published: bool | tuple[str, ...] = True
    """Whether numbers that the runs' suites quote are rows of their own; or those that these suites
    quote: names of shipped ones, or paths from this file."""
    style: PaperStyle = "article"
    """Whose widths LaTeX is to fit."""
    width: Width = "text"
    """Of one column of the style, or of the whole text."""
    resize: bool = False
    """Shrink to the width with \\resizebox, whatever that does to the letters."""


class TablesFile(Config):
    """A file of tables."""

    tables: Annotated[dict[str, TableSpec], Field(min_length=1)]


KnownNames = Mapping[str, set[str]]
"""`model`, `method`, `task` and `benchmark` -> those that there are."""


def table_problems(spec: TableSpec, names: KnownNames, locate: Locate) -> Iterator[Problem]:
    """KnownNames in a table that nothing has.

    Args:
        names: Of what there is; a kind that is missing is not checked.
        locate: The place of a key path in the table.
    """
    listed: dict[str, tuple[str, ...] | None] = {
        "model": spec.models,
        "task": spec.tasks,
        "method": spec.methods,
    }
    for kind, wanted in listed.items():
        for index, name in enumerate(wanted or ()):
            if kind in names and name not in names[kind]:
                place = locate((f"{kind}s", index))
                yield Problem(*place, unknown(kind, name, names[kind]))
    for index, column in enumerate(spec.columns or ()):
        yield from _column_problems(column, names, ("columns", index), locate)
    for key in spec.labels:
        known = {*COLUMNS, *(name for kind in names.values() for name in kind)}
        if len(names) == 4 and key not in known:
            yield Problem(*locate(("labels", key)), unknown("name", key, known))


def _column_problems(
    column: str | ColumnSpec, names: KnownNames, path: KeyPath, locate: Locate
) -> Iterator[Problem]:
    benchmarks = names.get("benchmark")
    if isinstance(column, str):
        if column not in COLUMNS and benchmarks is not None and column not in benchmarks:
            text = unknown("column or benchmark", column, {*COLUMNS, *benchmarks})
            yield Problem(*locate(path), text)
        return
    if column.show != "accuracy" and column.show not in COLUMNS:
        text = unknown("column", column.show, {*COLUMNS, "accuracy"})
        yield Problem(*locate((*path, "show")), text)
    for number, name in enumerate(column.benchmarks):
        if benchmarks is not None and name not in benchmarks:
            inner = () if isinstance(column.benchmark, str) else (number,)
            place = locate((*path, "benchmark", *inner))
            yield Problem(*place, unknown("benchmark", name, benchmarks))
