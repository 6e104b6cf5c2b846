"""The text of report.md around its tables and figures."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lwft_bench.reporting.figures.drawing import Drawing
from lwft_bench.reporting.numbers.cautions import cautions
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.read.records import RunRecords
from lwft_bench.reporting.render.markdown import escape, escape_block, fenced, to_markdown
from lwft_bench.reporting.render.table import Table
from lwft_bench.reporting.sections import Section


@dataclass(frozen=True, slots=True)
class Written:
    """A table as texts, which are made where the table is.

    name: of its files. files: by the suffixes of their names.
    blocks: in report.md. markup: in report.html.
    """

    name: str
    files: dict[str, str]
    blocks: tuple[str, ...]
    markup: str


@dataclass(frozen=True)
class Filled:
    """A section with what was built for it. about: the model and task, or the run as a whole."""

    section: Section
    about: Context
    table: Written | None
    drawings: tuple[Drawing, ...]


def document(
    context: Context, lead: str, sections: Sequence[Filled], tables: Sequence[str] = ()
) -> str:
    """report.md, with the sections of each model and task under its name and those of the run last.

    Args:
        lead: what the figures allow to be said.
        tables: those that the suite describes, as Markdown.
    """
    records = context.records
    blocks = [
        f"# {escape(records.title)}",
        escape_block(records.description),
        *_cautions(cautions(context.comparisons, records.tunings)),
        escape(lead),
        *_warnings(records.warnings),
    ]
    for comparison in context.comparisons:
        blocks.append(f"## {escape(comparison.model)} on {escape(comparison.task)}")
        blocks += _warnings(comparison.warnings)
        for filled in sections:
            if filled.about.current is comparison:
                blocks += _section(filled, "###")
    blocks += ["## Tables of the suite", *tables] if tables else []
    for filled in sections:
        if filled.about.current is None:
            blocks += _section(filled, "##")
    blocks += ["## How to make this again", _reproduction(records)]
    return "\n\n".join(block.strip("\n") for block in blocks if block) + "\n"


def table_blocks(heading: str | None, table: Table) -> tuple[str, ...]:
    """A table in report.md; under no heading of its own its notes are introduced."""
    if heading is not None:
        return (to_markdown(table),)
    blocks = [to_markdown(replace(table, notes=()))]
    if table.notes:
        blocks += [
            "How each figure was obtained:",
            to_markdown(replace(table, display=table.display.iloc[:0])),
        ]
    return tuple(blocks)


def _section(filled: Filled, level: str) -> Iterator[str]:
    if filled.table is None and not filled.drawings:
        return
    if filled.section.heading is not None:
        yield f"{level} {filled.section.heading}"
    if filled.table is not None:
        yield from filled.table.blocks
    for drawing in filled.drawings:
        yield f"![{drawing.name.replace('_', ' ')}](figures/{drawing.stem}.png)"
        yield escape(drawing.caption)


def _reproduction(records: RunRecords) -> str:
    name = records.folder.resolve().name
    folder = shlex.quote(name)
    results = [cell.result for cell in records.cells if cell.result]
    commands = dict.fromkeys(str(result.provenance.get("command", "")) for result in results)
    plugins = dict.fromkeys(
        path for cell in records.cells if cell.config for path in cell.config.plugins
    )
    lines = [
        *(f"{command}   # as it was run" for command in commands if command),
        f"lwft-bench run {shlex.quote(f'{name}/suite.yaml')} --out again   # every cell anew",
        f"lwft-bench report {folder}   # this report, from the recorded files",
        f"lwft-bench table {folder} --format latex   # the main table for a paper",
    ]
    needs = [f"It needs the plugin files {escape(', '.join(plugins))}."] if plugins else []
    head = "`suite.yaml` beside this file is the suite as given, `suite.json` its resolved cells."
    foot = (
        "`tables/` has every table as Markdown, LaTeX and CSV (plain numbers in basic units); "
        "`cells/` has the samples with prompts and responses, losses and selections of each cell."
    )
    return "\n".join([head, *needs, "", *fenced(lines), "", foot])


def _cautions(sentences: Sequence[str]) -> list[str]:
    """What must not be concluded, before any number."""
    return [f"**What this does not say.** {escape(' '.join(sentences))}"] if sentences else []


def _warnings(warnings: Sequence[str]) -> list[str]:
    """One quoted block with a line for each warning."""
    if not warnings:
        return []
    return ["\n>\n".join(f"> **Warning:** {escape(warning)}" for warning in warnings)]
