"""Makes a run's report from its files. Never imports torch."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from lwft_bench.config.suite import AVERAGE
from lwft_bench.errors import UserError
from lwft_bench.reporting.numbers.comparison import compare
from lwft_bench.reporting.read.records import read_run
from lwft_bench.reporting.render.latex import to_latex
from lwft_bench.reporting.render.markdown import to_titled_markdown
from lwft_bench.reporting.render.table import Table
from lwft_bench.reporting.sections import (
    TABLE_NAMES,
    comparison_tables,
    run_tables,
    tables_named,
)

Format = Literal["markdown", "latex", "csv"]


def write_report(run: Path) -> Path:
    """Write report.md, figures/ and tables/ into the run directory, each file in one step.

    Works on a run in any state: what is not done is a row with its status.

    Returns:
        The path of report.md.

    Raises:
        UserError: `run` is not a run directory.
    """
    from lwft_bench.reporting.document import document
    from lwft_bench.reporting.figures.drawing import draw, draw_run, styles

    records = read_run(run)
    comparisons = compare(records)
    style = styles(comparisons)
    tables = [comparison_tables(records, comparison) for comparison in comparisons]
    figures = [draw(records, comparison, style) for comparison in comparisons]
    overall = run_tables(records)
    overall_figures = draw_run(records, style)
    for folder in ("figures", "tables"):
        (run / folder).mkdir(exist_ok=True)
    for named in (*figures, overall_figures):
        for drawing in named.values():
            _replace(run / "figures" / f"{drawing.stem}.png", drawing.png)
    for tables_by_name in (*tables, overall):
        for table in tables_by_name.values():
            for suffix, text in _renderings(table).items():
                _replace(run / "tables" / f"{table.name}.{suffix}", text.encode())
    report = run / "report.md"
    text = document(records, comparisons, tables, figures, overall, overall_figures)
    _replace(report, text.encode())
    return report


def print_table(run: Path, format: Format, name: str = "main") -> str:
    """One table of a run as text: one a model and task, below each other; CSV joins them.

    Raises:
        UserError: there is no table of this name, or the run has nothing for it.
    """
    if name not in TABLE_NAMES:
        raise UserError(f"There is no table `{name}`.", f"Tables: {', '.join(TABLE_NAMES)}.")
    records = read_run(run)
    tables = tables_named(name, records, compare(records))
    if not tables:
        raise UserError(f"{run} has nothing for the table `{name}`.")
    if format == "csv":
        return pd.concat([table.values for table in tables]).to_csv(index=False)
    render = to_latex if format == "latex" else to_titled_markdown
    return "\n".join(render(table) for table in tables)


def write_profile(runs: Sequence[Path], out: Path, methods: Collection[str] | None = None) -> str:
    """Draw the scores of units by task over several runs.

    Args:
        methods: only these, by name; None: all that recorded scores.

    Returns:
        What the figure shows.

    Raises:
        UserError: one of `runs` is not a run directory, or no cell of them has scores.
    """
    from lwft_bench.reporting.figures.drawing import draw_profile

    drawing = draw_profile([read_run(run) for run in runs], methods)
    if drawing is None:
        raise UserError(
            "No cell that is done recorded scores of units.",
            "They stand in cells/<cell>/selections.jsonl, where the strategy has any.",
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    _replace(out, drawing.png)
    return f"{out}: {drawing.caption}"


def terminal_summary(run: Path) -> str:
    """The main tables for a terminal: averages over benchmarks only, and no notes."""
    records = read_run(run)
    return "\n\n".join(_summary(table) for table in tables_named("main", records, compare(records)))


def _summary(table: Table) -> str:
    scores = {name.removesuffix("_stderr") for name in table.values if name.endswith("_stderr")}
    columns = [name for name in table.display if name == AVERAGE or name not in scores]
    return f"{table.title}\n\n{table.display[columns].to_string(index=False)}"


def _renderings(table: Table) -> dict[str, str]:
    return {
        "md": to_titled_markdown(table),
        "tex": to_latex(table),
        "csv": table.values.to_csv(index=False),
    }


def _replace(path: Path, content: bytes) -> None:
    """Readers see the old file or the new one. Reports can be made again, so no fsync."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    os.replace(partial, path)
