"""The text of report.md around its tables and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from lwft_bench.reporting.comparison import Comparison
from lwft_bench.reporting.figures import Drawing
from lwft_bench.reporting.markdown import escape, to_markdown
from lwft_bench.reporting.records import RunRecords
from lwft_bench.reporting.summary import summary
from lwft_bench.reporting.table import Table

_SECTIONS = (
    ("Against the published numbers", "published", ()),
    ("Against published memory and speed", "published_cost", ()),
    ("Test questions in the training data", "contamination", ()),
    ("Differences to the baseline", "differences", ()),
    ("Differences between all methods", "pairwise", ()),
    ("What differs besides the method's name", "confounds", ()),
    ("Engagement: did the methods do what they say", "engagement", ()),
    ("Ablations", "ablations", ()),
    ("Tuning", "tuning", ()),
    ("Trials of the tuning", "trials", ()),
    ("At equal floating-point operations", "equal_flops", ()),
    ("At equal memory", "equal_memory", ()),
    ("Memory", "memory", ()),
    ("Training", "training", ("loss",)),
    ("Selections", "selections", ("selections", "concentration", "probabilities", "inclusion")),
)
"""Heading, table, figures; a section that would be empty is left out."""

_RUN_SECTIONS = (("Planted layer", "planted"), ("Layers by task", "profile"))
"""Heading, and the name of a table, a figure or both; as above."""


def document(
    records: RunRecords,
    comparisons: Sequence[Comparison],
    tables: Sequence[Mapping[str, Table]],
    figures: Sequence[Mapping[str, Drawing]],
    run_tables: Mapping[str, Table],
    run_figures: Mapping[str, Drawing],
) -> str:
    """report.md. `tables` and `figures` are by name, one mapping for each of `comparisons`."""
    blocks = [
        f"# {escape(records.title)}",
        escape(records.description),
        escape(summary(records, comparisons)),
        *_warnings(records.warnings),
    ]
    for comparison, own_tables, own_figures in zip(comparisons, tables, figures, strict=True):
        blocks += _comparison(comparison, own_tables, own_figures)
    for heading, name in _RUN_SECTIONS:
        body = [to_markdown(run_tables[name])] if name in run_tables else []
        body += _figures(run_figures, (name,))
        if body:
            blocks += [f"## {heading}", *body]
    blocks += ["## Cells that are not done", to_markdown(run_tables["failures"])]
    if not run_tables["provenance"].display.empty:
        blocks += ["## Provenance", to_markdown(run_tables["provenance"])]
    blocks += ["## Cells", to_markdown(run_tables["cells"])]
    blocks += ["## How to make this again", _reproduction(records)]
    return "\n\n".join(block.strip("\n") for block in blocks if block) + "\n"


def _reproduction(records: RunRecords) -> str:
    folder = records.folder.resolve().name
    results = [cell.result for cell in records.cells if cell.result]
    commands = dict.fromkeys(str(result.provenance.get("command", "")) for result in results)
    plugins = dict.fromkeys(
        path for cell in records.cells if cell.config for path in cell.config.plugins
    )
    lines = [
        *(f"{command}   # as it was run" for command in commands if command),
        f"lwft-bench run {folder}/suite.yaml --out again   # every cell anew",
        f"lwft-bench report {folder}   # this report, from the recorded files",
        f"lwft-bench table {folder} --format latex   # the main table for a paper",
    ]
    needs = [f"It needs the plugin files {escape(', '.join(plugins))}."] if plugins else []
    head = "`suite.yaml` beside this file is the suite as given, `suite.json` its resolved cells."
    foot = (
        "`tables/` has every table as Markdown, LaTeX and CSV (plain numbers in basic units); "
        "`cells/` has the samples with prompts and responses, losses and selections of each cell."
    )
    return "\n".join([head, *needs, "", "```sh", *lines, "```", "", foot])


def _comparison(
    comparison: Comparison, tables: Mapping[str, Table], figures: Mapping[str, Drawing]
) -> Iterator[str]:
    yield f"## {escape(comparison.model)} on {escape(comparison.task)}"
    yield from _warnings(comparison.warnings)
    main = tables["main"]
    yield to_markdown(replace(main, notes=()))
    if main.notes:
        yield "How each figure was obtained:"
        yield to_markdown(replace(main, display=main.display.iloc[:0]))
    yield from _figures(figures, ("accuracy_vs_memory",))
    for heading, name, drawings in _SECTIONS:
        body = [to_markdown(tables[name])] if name in tables else []
        body += _figures(figures, drawings)
        if body:
            yield f"### {heading}"
            yield from body


def _figures(figures: Mapping[str, Drawing], names: Sequence[str]) -> Iterator[str]:
    for name in names:
        if name in figures:
            drawing = figures[name]
            yield f"![{name.replace('_', ' ')}](figures/{drawing.stem}.png)"
            yield escape(drawing.caption)


def _warnings(warnings: Sequence[str]) -> list[str]:
    """One quoted block with a line for each warning."""
    if not warnings:
        return []
    return ["\n>\n".join(f"> **Warning:** {escape(warning)}" for warning in warnings)]
