"""The command line: parses, calls and prints.

Every command imports what it needs when it runs, so that `--help` and errors come at once.
"""

from __future__ import annotations

import os
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
    SetOptions,
    SuiteName,
    for_print_in,
    names_in,
    numbers_in,
    suite_of,
)


class Retry(StrEnum):
    """Which cells run again."""

    FAILED = "failed"


class _Width(StrEnum):
    TEXT = "text"
    COLUMN = "column"


class _Format(StrEnum):
    MARKDOWN = "markdown"
    LATEX = "latex"
    CSV = "csv"


@app.command("run")
def run_command(
    suite: SuiteName,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Default: reports/<name of the suite>.")
    ] = None,
    plugin: Plugins = None,
    settings: SetOptions = None,
    only: Only = None,
    models: Models = None,
    methods: Methods = None,
    tasks: Annotated[str | None, typer.Option(metavar="A,B", help="Only these tasks.")] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="0,1", help="These seeds instead of the suite's.")
    ] = None,
    workers: Annotated[int | None, typer.Option(metavar="N", min=1, help="Cells at once.")] = None,
    devices: Annotated[
        str | None,
        typer.Option(metavar="0,1|all|cpu", help="Devices to share cells out on, one on each."),
    ] = None,
    share: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Several cells on a device while their plans say they fit into it."
        ),
    ] = None,
    retry: Annotated[Retry | None, typer.Option(help="Run failed cells again.")] = None,
    save_weights: Annotated[
        bool, typer.Option("--save-weights", help="Keep the fine-tuned models.")
    ] = False,
    silence: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=1.0, help="Kill a cell that gives no sign of life for so long."
        ),
    ] = 1800.0,
    log: Annotated[
        str | None, typer.Option(metavar="A,B", help="Log to tensorboard, wandb or trackio.")
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Never ask the model hub; use what is cached.")
    ] = False,
    no_timing: Annotated[
        bool, typer.Option("--no-timing", help="Do not time the methods against each other.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Run a suite: what is not done yet of it, and its report.

    Exit codes: 0 all cells done, 1 some failed, 2 bad input, 130 interrupted.
    """
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    loaded = suite_of(
        suite,
        settings,
        plugin,
        only=only,
        models=names_in(models),
        methods=names_in(methods),
        tasks=names_in(tasks),
        seeds=numbers_in(seeds),
    )
    loaded.require_runnable()
    from lwft_bench.execution.options import RunOptions
    from lwft_bench.execution.runner import run_suite
    from lwft_bench.planning.budget import parse_size

    options = RunOptions(
        workers=workers,
        devices=devices,
        share_bytes=None if share is None else parse_size(share),
        retry_failed=retry is Retry.FAILED,
        save_weights=save_weights,
        hang_seconds=silence,
        loggers=names_in(log) or (),
        timing=not no_timing,
    )
    raise typer.Exit(run_suite(loaded, out or Path("reports", loaded.name), options))


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
            metavar="N|METHOD=N,...",
            help="Tell device-hours at this throughput.",
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="Of which that is the throughput, such as h100.")
    ] = "the device",
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
    run: Run,
    format: Annotated[_Format, typer.Option(help="How to write it.")] = _Format.MARKDOWN,
    name: Annotated[str, typer.Option("--table", metavar="NAME", help="Which table.")] = "main",
    debug: Debug = False,
) -> None:
    """Print one table of a run."""
    from lwft_bench.reporting.report import print_table

    typer.echo(print_table(run, format.value, name))


@app.command()
def profile(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Directories of runs.")],
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
