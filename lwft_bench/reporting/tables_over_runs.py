"""Tables over runs as text: those of the report, those that a suite or file describes, and presets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.merging import merged
from lwft_bench.reporting.paper.table import grids
from lwft_bench.reporting.read.records import RunRecords, read_run
from lwft_bench.reporting.read.statements import (
    Quoted,
    WrittenTable,
    names_of,
    quoted_by_runs,
    quoted_by_suites,
    read_tables,
    recorded_tables,
)
from lwft_bench.reporting.render.grid import PaperGrid, grid_as_html, grid_as_markdown
from lwft_bench.reporting.render.grid_latex import grid_as_latex
from lwft_bench.reporting.render.html_table import to_html
from lwft_bench.reporting.render.latex import to_latex
from lwft_bench.reporting.render.markdown import to_titled_markdown
from lwft_bench.reporting.render.table import Table
from lwft_bench.reporting.sections import TABLE_NAMES, tables_named
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.naming import unknown
from lwft_bench.schema.problems import ConfigError, Problem
from lwft_bench.schema.tables import PRESETS, TableSpec, table_problems

Format = Literal["markdown", "latex", "csv", "html"]


class RunsRead:
    """Runs that tables are made over, each read once."""

    def __init__(self, runs: Sequence[RunRecords]) -> None:
        self.runs = runs
        self.context = Context.of(merged(runs))

    @classmethod
    def read(cls, folders: Sequence[Path]) -> RunsRead:
        """Read run directories, at least one.

        Raises:
            UserError: One of them is none.
        """
        return cls([read_run(folder) for folder in folders])

    @property
    def records(self) -> RunRecords:
        return self.context.records

    def grids(self, table: WrittenTable) -> list[PaperGrid]:
        """What a description gives.

        Raises:
            ConfigError: It names what neither the runs nor what is quoted has.
        """
        spec, quoted = table.spec, list[Quoted]()
        if isinstance(spec.published, tuple):
            quoted = quoted_by_suites(table)
        elif spec.published:
            quoted = quoted_by_runs(self.runs)
        problems = list(table_problems(spec, names_of(self.records, quoted), table.locate))
        if problems:
            raise ConfigError(problems)
        return grids(table.name, spec, self.context, quoted)

    def recorded(self) -> dict[str, WrittenTable]:
        """The tables of the runs' suites; of a name that several have, the first run's."""
        return {
            name: one for run in reversed(self.runs) for name, one in recorded_tables(run).items()
        }


def preset(name: str) -> WrittenTable:
    """A preset as a table without any words of its own.

    Raises:
        UserError: There is no such preset.
    """
    for known in PRESETS:
        if name == known:
            return WrittenTable(
                name, TableSpec(preset=known), lambda path: ("--preset", ""), Path()
            )
    raise UserError(unknown("preset", name, PRESETS))


def print_table(
    runs: Path | Sequence[Path],
    format: Format,
    table: str | None = None,
    file: str | None = None,
    preset_name: str | None = None,
) -> str:
    """Tables over runs, below each other.

    Args:
        runs: the directory of a run, or several.
        table: one of the file, of the suites' own, or of the report; None: all of the file, else the
            report's main table.
        file: a file of tables, or a shipped one's name.
        preset_name: `paper`, `memory`, `efficiency` or `ablation`, instead of both.

    Raises:
        UserError: There is no such table or the runs have nothing for it, or with all that is wrong
            in the file.
    """
    read = RunsRead.read([runs] if isinstance(runs, Path) else runs)
    if preset_name is not None:
        return _text(read.grids(preset(preset_name)), format, f"the preset `{preset_name}`")
    written = read_tables(file) if file is not None else read.recorded()
    if table is None and file is not None:
        return _text(_all(read, written), format, file)
    name = table or "main"
    if name in written:
        return _text(read.grids(written[name]), format, f"the table `{name}`")
    if file is not None:
        raise UserError(unknown("table", name, written), f"Tables of {file}: {', '.join(written)}.")
    return _of_report(name, read, format, written)


def _all(read: RunsRead, written: dict[str, WrittenTable]) -> list[PaperGrid]:
    """Of every table, and every problem of all of them at once."""
    found: list[PaperGrid] = []
    problems: list[Problem] = []
    for one in written.values():
        try:
            found += read.grids(one)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return found


def _of_report(name: str, read: RunsRead, format: Format, written: dict[str, WrittenTable]) -> str:
    where = " and ".join(str(run.folder) for run in read.runs)
    if name not in TABLE_NAMES:
        names = [*written, *TABLE_NAMES]
        raise UserError(f"There is no table `{name}`.", f"Tables: {', '.join(names)}.")
    tables = tables_named(name, read.context)
    if not tables:
        raise UserError(f"{where} has nothing for the table `{name}`.")
    if format == "csv":
        return pd.concat([one.values for one in tables]).to_csv(index=False)
    return "\n".join(render_table(one, format) for one in tables)


def render_table(table: Table, format: Format) -> str:
    """A table of the report as text."""
    if format == "csv":
        return table.values.to_csv(index=False)
    render = {"latex": to_latex, "html": to_html, "markdown": to_titled_markdown}[format]
    return render(table)


def _text(found: Sequence[PaperGrid], format: Format, what: str) -> str:
    if not found:
        raise UserError(f"The runs have nothing for {what}.")
    if format == "csv":
        return pd.concat([grid.values for grid in found]).to_csv(index=False)
    return "\n".join(rendered(grid)[format] for grid in found)


def rendered(grid: PaperGrid) -> dict[Format, str]:
    """In every format."""
    return {
        "markdown": grid_as_markdown(grid),
        "latex": grid_as_latex(grid),
        "csv": grid.values.to_csv(index=False),
        "html": grid_as_html(grid),
    }
