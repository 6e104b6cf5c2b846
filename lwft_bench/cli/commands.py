"""The command line: parses, calls and prints.

Every command imports what it needs when it runs, so that `--help` and errors come at once.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lwft_bench.cli.app import app
from lwft_bench.cli.arguments import (
    Debug,
    Methods,
    Models,
    Only,
    Plugins,
    Run,
    Runs,
    SetOptions,
    SuiteName,
    for_print_in,
    names_in,
    suite_of,
)


class _Width(StrEnum):
    TEXT = "text"
    COLUMN = "column"


class _Format(StrEnum):
    MARKDOWN = "markdown"
    LATEX = "latex"
    CSV = "csv"
    HTML = "html"


@app.command("plan")
def plan_command(
    suite: SuiteName,
    budget: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Of the device, such as 24GiB or 24GB.")
    ] = None,
    plugin: Plugins = None,
    settings: SetOptions = None,
    only: Only = None,
    models: Models = None,
    methods: Methods = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    figure: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw peak memory against training.max_length."),
    ] = None,
    speed: Annotated[
        str | None,
        typer.Option(
            "--tokens-per-second",
            metavar="N|METHOD=N,...|RUN",
            help="Tell device-hours at this throughput, or as a run has timed its methods.",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of which that is the throughput, such as h100."),
    ] = None,
    num_devices: Annotated[
        int, typer.Option("--devices", metavar="N", min=1, help="For the length of the whole run.")
    ] = 1,
    verify: Annotated[
        bool, typer.Option("--verify", help="Run a few real steps of each cell and compare.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Tell the memory and cost of every cell of a suite, without a GPU or the model's weights.

    Exit code 1 with --verify if a cell needs another amount of memory than planned.
    """
    import json

    from lwft_bench.planning.budget import parse_size
    from lwft_bench.planning.cost import cost_as_json, cost_as_text, cost_of, parse_throughputs

    num_bytes = None if budget is None else parse_size(budget)
    throughputs = None if speed is None else parse_throughputs(speed)
    loaded = suite_of(
        suite, settings, plugin, only=only, models=names_in(models), methods=names_in(methods)
    )
    from lwft_bench.planning.plan_figure import draw_plan
    from lwft_bench.planning.plan_text import as_text
    from lwft_bench.planning.suite_plan import as_json as plan_as_json
    from lwft_bench.planning.suite_plan import plan_suite
    from lwft_bench.planning.verification import verify_plan

    planned = plan_suite(loaded, num_bytes, lambda text: typer.echo(text, err=True))
    cost = cost_of(planned, throughputs, device, num_devices) if throughputs else None
    if as_json:
        found = plan_as_json(planned) | ({"cost": cost_as_json(cost)} if cost else {})
        typer.echo(json.dumps(found, indent=2))
    else:
        typer.echo(as_text(planned) + (cost_as_text(cost) if cost else ""))
    if figure is not None:
        draw_plan(planned, figure)
    if verify:
        raise typer.Exit(0 if verify_plan(planned, lambda text: typer.echo(text)) else 1)


@app.command("evaluate")
def evaluate_command(
    run: Run,
    benchmarks: Annotated[
        str, typer.Option(metavar="A,B", help="Shipped benchmarks, or files that define one.")
    ],
    workers: Annotated[int | None, typer.Option(metavar="N", min=1, help="Cells at once.")] = None,
    debug: Debug = False,
) -> None:
    """Score a finished run on more benchmarks, with the weights that it kept.

    Exit codes: as run.
    """
    from lwft_bench.execution.evaluating import evaluate_run
    from lwft_bench.execution.options import RunOptions

    names = names_in(benchmarks) or ()
    raise typer.Exit(evaluate_run(run, names, RunOptions(workers=workers)))


@app.command()
def report(
    run: Run,
    figures: Annotated[
        str | None,
        typer.Option(metavar="pdf,svg", help="Draw figures for print too, in these formats."),
    ] = None,
    width: Annotated[
        _Width, typer.Option(help="Of figures for print: the whole text, or one of two columns.")
    ] = _Width.TEXT,
    debug: Debug = False,
) -> None:
    """Make a run's report again from its files."""
    from lwft_bench.reporting.report import html_missing, write_report

    typer.echo(write_report(run, for_print_in(figures, width.value)))
    if note := html_missing():
        typer.echo(note, err=True)


@app.command()
def table(
    runs: Runs,
    format: Annotated[_Format, typer.Option(help="How to write it.")] = _Format.MARKDOWN,
    name: Annotated[
        str | None,
        typer.Option(
            "--table", metavar="NAME", help="One of --tables, of the suite or of the report."
        ),
    ] = None,
    tables: Annotated[
        str | None, typer.Option(metavar="FILE", help="A file of tables, or a shipped one's name.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(metavar="NAME", help="paper, memory, efficiency or ablation.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Print tables over one run or several: the report's, or as a paper has them."""
    from lwft_bench.reporting.render.grid_latex import TOO_WIDE
    from lwft_bench.reporting.tables_over_runs import print_table

    text = print_table(runs, format.value, name, tables, preset)
    typer.echo(text)
    for line in text.splitlines() if format is _Format.LATEX else ():
        if line.startswith(TOO_WIDE):
            typer.echo(line.removeprefix("% "), err=True)


@app.command()
def profile(
    runs: Runs,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file to write: png, pdf or svg.")],
    methods: Methods = None,
    debug: Debug = False,
) -> None:
    """Draw what layers score by task: do they matter differently for different tasks?"""
    from lwft_bench.reporting.report import write_profile

    typer.echo(write_profile(runs, out, names_in(methods)))


@app.command("audit")
def audit_command(
    suite: SuiteName,
    settings: SetOptions = None,
    debug: Debug = False,
) -> None:
    """Count the test questions of a suite that stand in its training data, or nearly do."""
    from lwft_bench.data import contamination

    typer.echo(
        contamination.audit_as_text(contamination.audit(suite_of(suite, settings).all_cells))
    )


@app.command()
def selftest(
    device: Annotated[
        str, typer.Option(metavar="DEVICE", help="cpu, simulated, or the accelerator: cuda.")
    ] = "cpu",
    debug: Debug = False,
) -> None:
    """Check the engine that streams optimizer state on this device; reports then cite it.

    Takes some three minutes. Exit code 1 if a check fails.
    """
    from lwft_bench.selftest.run import run_selftest

    raise typer.Exit(0 if run_selftest(device, typer.echo) else 1)


@app.command()
def schema() -> None:
    """Print the JSON schema of suite files, for editors."""
    from lwft_bench.schema.suite import schema_text

    typer.echo(schema_text(), nl=False)
