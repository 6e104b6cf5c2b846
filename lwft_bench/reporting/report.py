"""Makes a run's report from its files. Never imports torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.timing import timed_alone
from lwft_bench.reporting.read.in_processes import (
    ENOUGH,
    in_processes,
    no_garbage_sought,
    nothing_looked_through,
)
from lwft_bench.reporting.read.records import RunRecords, read_run
from lwft_bench.reporting.read.timings import reported_timing
from lwft_bench.reporting.render.for_print import PRINT_FORMATS, ForPrint
from lwft_bench.reporting.render.html_table import html_text
from lwft_bench.reporting.render.latex import to_latex
from lwft_bench.reporting.render.markdown import escape, to_titled_markdown
from lwft_bench.reporting.render.table import Table
from lwft_bench.reporting.sections import (
    SCOPES,
    SECTIONS,
    Scope,
    Section,
    build_table,
    contexts,
    tables_named,
)
from lwft_bench.reporting.tables.timing import timing_table
from lwft_bench.reporting.tables_over_runs import Format, RunsRead, rendered
from lwft_bench.results.atomic import replace_file
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.suite import AVERAGE

if TYPE_CHECKING:
    from lwft_bench.reporting.document import Filled, Written
    from lwft_bench.reporting.figures.drawing import Drawing

_Figures: TypeAlias = "dict[Section, tuple[Drawing, ...]]"
_Tables: TypeAlias = "dict[Section, Written]"
_SUFFIXES: dict[Format, str] = {"markdown": "md", "latex": "tex", "csv": "csv", "html": "html"}


def write_report(run: Path, for_print: ForPrint | None = None) -> Path:
    """Write report.md, figures/, tables/ and report.html into the run directory, each file in one step.

    Works on a run in any state: what is not done is a row with its status.

    Args:
        for_print: what is drawn beside the PNG files; what an earlier report drew besides is removed,
            since it may be of other results.

    Returns:
        The path of report.md.

    Raises:
        UserError: `run` is not a run directory.
    """
    with no_garbage_sought():
        context = Context.of(read_run(run, _import_what_is_needed_next))
        with nothing_looked_through():
            return _write(run, context, for_print)


def _import_what_is_needed_next() -> None:
    """Once for all processes, which would each import it."""
    import scipy.special  # noqa: F401

    import lwft_bench.reporting.document
    import lwft_bench.reporting.html.page
    import lwft_bench.reporting.summary  # noqa: F401


def _write(run: Path, context: Context, for_print: ForPrint | None) -> Path:
    from lwft_bench.reporting.document import document

    made = _make(context, for_print)
    for folder in (run / "figures", run / "tables"):
        if folder.is_symlink():
            raise UserError(f"{folder} is a symbolic link: a report is not written through it")
        folder.mkdir(exist_ok=True)
    for filled in made.sections:
        for drawing in filled.drawings:
            for suffix in ("png", "pdf", "svg"):
                path = run / "figures" / f"{drawing.stem}.{suffix}"
                if suffix in drawing.pictures:
                    _replace(path, drawing.pictures[suffix])
                else:
                    path.unlink(missing_ok=True)
        if filled.table is not None:
            for suffix, text in filled.table.files.items():
                _replace(run / "tables" / f"{filled.table.name}.{suffix}", text.encode())
    report = run / "report.md"
    own = _tables_of_the_suite(context.records, run / "tables")
    markdown = [one["markdown"] for one in own]
    _replace(report, document(context, made.lead, made.sections, markdown).encode())
    _write_html(run / "report.html", context, made, [one["html"] for one in own])
    return report


def html_missing() -> str | None:
    """Why `write_report` makes no report.html here, and what helps; None where it does."""
    from lwft_bench.reporting.html.libraries import missing

    return missing()


def _write_html(path: Path, context: Context, made: _Made, of_suite: Sequence[str]) -> None:
    """Without the libraries an older file goes, since it may be of other results."""
    if html_missing() is not None:
        path.unlink(missing_ok=True)
        return
    from lwft_bench.reporting.html.page import TableSection, page

    tables = [TableSection(one.about, one.table.markup) for one in made.sections if one.table]
    _replace(path, page(context, made.lead, tables, made.of_page, of_suite).encode())


def _tables_of_the_suite(records: RunRecords, folder: Path) -> list[dict[Format, str]]:
    """Each in all formats, in the folder too. One that cannot be made costs no report: its text says
    why.
    """
    read = RunsRead([records]) if records.tables else None
    blocks: list[dict[Format, str]] = []
    for name, table in (read.recorded() if read else {}).items():
        assert read is not None
        try:
            grids = read.grids(table)
        except UserError as error:
            why = f"{name}: {error}"
            blocks.append({"markdown": escape(why), "html": f"<p>{html_text(why)}</p>"})
            continue
        for grid in grids:
            texts = rendered(grid)
            for format, suffix in _SUFFIXES.items():
                _replace(folder / f"paper-{grid.name}.{suffix}", texts[format].encode())
            blocks.append(texts)
    return blocks


@dataclass(frozen=True, slots=True)
class _Made:
    """What takes long of a report.

    sections: each with its table and its figures, those of one model and task after the other.
    lead: what the figures allow to be said.
    of_page: of report.html; nothing where there is to be none.
    """

    sections: list[Filled]
    lead: str
    of_page: list[Any]


def _make(context: Context, for_print: ForPrint | None) -> _Made:
    from lwft_bench.reporting.document import Filled
    from lwft_bench.reporting.html.page import parts
    from lwft_bench.reporting.summary import summary

    abouts = [(scope, about) for scope in SCOPES for about in contexts(context, scope)]
    # Figures take longest, and come first: what is done last ends in all processes at about a time.
    pieces: list[Callable[[], Any]] = [
        *(partial(_figures, *about, for_print=for_print) for about in abouts),
        *(partial(_tables, *about) for about in abouts),
        partial(summary, context.records, context.comparisons),
        *(parts(context) if html_missing() is None else ()),
    ]
    enough = ENOUGH * len(pieces) // len(abouts)  # those of `ENOUGH` of them
    made = list(in_processes(lambda piece: piece(), pieces, enough))
    figures: list[_Figures] = made[: len(abouts)]
    tables: list[_Tables] = made[len(abouts) : 2 * len(abouts)]
    lead, *of_page = made[2 * len(abouts) :]
    filled = []
    for section in SECTIONS:
        for (scope, about), drawn, tabled in zip(abouts, figures, tables, strict=True):
            if scope == section.scope:
                filled.append(Filled(section, about, tabled.get(section), drawn[section]))
    return _Made(filled, lead, of_page)


def _figures(scope: Scope, about: Context, for_print: ForPrint | None) -> _Figures:
    """Those of a model and task, or of the run."""
    from lwft_bench.reporting.figures.drawing import draw

    return {
        section: tuple(
            drawing
            for name in section.figures
            if (drawing := draw(name, about, for_print)) is not None
        )
        for section in SECTIONS
        if section.scope == scope
    }


def _tables(scope: Scope, about: Context) -> _Tables:
    built = {
        section: build_table(section.table, about)
        for section in SECTIONS
        if section.table and section.scope == scope
    }
    return {section: _written(section, one) for section, one in built.items() if one is not None}


def print_timing(directory: Path, baseline: str | None) -> str:
    """How methods were timed by turns, as text, whether the directory is a run's or not."""
    tables = (
        timing_table("timing", f"{one.measured.model} on {one.measured.task}", one, [])
        for one in timed_alone(reported_timing(directory), baseline)
    )
    return "\n".join(map(to_titled_markdown, tables))


def write_profile(runs: Sequence[Path], out: Path, methods: Collection[str] | None = None) -> str:
    """Draw the scores of units by task over several runs, as PNG, or for print as PDF or SVG.

    Args:
        out: its ending says which.
        methods: only these, by name; None: all that recorded scores.

    Returns:
        What the figure shows.

    Raises:
        UserError: one of `runs` is not a run directory, or no cell of them has scores.
    """
    from lwft_bench.reporting.figures.drawing import draw_profile

    formats = tuple(one for one in PRINT_FORMATS if out.suffix == f".{one}")
    drawing = draw_profile([read_run(run) for run in runs], methods, ForPrint(formats))
    if drawing is None:
        raise UserError(
            "No cell that is done recorded scores of units.",
            "They stand in cells/<cell>/selections.jsonl, where the strategy has any.",
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    _replace(out, drawing.pictures[formats[0] if formats else "png"])
    return f"{out}: {drawing.caption}"


def terminal_summary(run: Path) -> str:
    """The main tables for a terminal: averages over benchmarks only, and no notes."""
    tables = tables_named("main", Context.of(read_run(run)))
    return "\n\n".join(map(_summary, tables))


def _summary(table: Table) -> str:
    scores = {name.removesuffix("_stderr") for name in table.values if name.endswith("_stderr")}
    columns = [name for name in table.display if name == AVERAGE or name not in scores]
    return f"{table.title}\n\n{table.display[columns].to_string(index=False)}"


def _written(section: Section, table: Table) -> Written:
    from lwft_bench.reporting.document import Written, table_blocks
    from lwft_bench.reporting.html.page import table_markup

    files = {
        "md": to_titled_markdown(table),
        "tex": to_latex(table),
        "csv": table.values.to_csv(index=False),
    }
    heading = section.heading
    return Written(table.name, files, table_blocks(heading, table), table_markup(heading, table))


def _replace(path: Path, content: bytes) -> None:
    """Readers see the old file or the new one. Reports can be made again, so no fsync."""
    # Another report may be made now.
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    replace_file(path, content, partial, sync=False)
