"""The command that times methods against each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lwft_bench.cli.app import INTERRUPTED, app
from lwft_bench.cli.arguments import (
    Debug,
    Methods,
    Plugins,
    SetOptions,
    SuiteName,
    names_in,
    suite_of,
)


@app.command("time")
def time_command(
    suite: SuiteName,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Default: reports/<name of the suite>.")
    ] = None,
    pairs: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Rounds instead of the suite's.")
    ] = None,
    plugin: Plugins = None,
    settings: SetOptions = None,
    methods: Methods = None,
    debug: Debug = False,
) -> None:
    """Time a suite's methods against each other, by turns on the same batches.

    What is found goes into the directory, of a run or not, and into its report. Exit code 130 if it
    was interrupted.
    """
    loaded = suite_of(suite, settings, plugin, methods=names_in(methods))
    loaded.require_runnable()
    if pairs is not None:
        loaded.timing = loaded.timing.model_copy(update={"pairs": pairs})
    from lwft_bench.execution.timed_suite import time_suite

    directory = out or Path("reports", loaded.name)
    if not time_suite(loaded, directory):
        raise typer.Exit(INTERRUPTED)
    from lwft_bench.reporting.report import print_timing, write_report

    typer.echo(print_timing(directory, loaded.baseline))
    if (directory / "suite.json").exists():
        write_report(directory)
