"""`lwft-bench merge`: a suite that ran in several places as one run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lwft_bench.cli.app import app
from lwft_bench.cli.arguments import Debug


@app.command()
def merge(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Directories of runs.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="An empty folder, or a new one.")],
    debug: Debug = False,
) -> None:
    """Put runs of one suite that were made in several places together, and report on them.

    What is not comparable (device, torch, dtype, protocol) is named and kept apart.
    """
    from lwft_bench.reporting.merging import merge_runs
    from lwft_bench.reporting.report import write_report

    for line in merge_runs(runs, out):
        typer.echo(line)
    typer.echo(write_report(out))
