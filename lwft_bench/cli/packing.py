"""`lwft-bench pack`: a run small enough to be committed or sent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lwft_bench.cli.app import app
from lwft_bench.cli.arguments import Debug, Run


@app.command()
def pack(
    run: Run,
    out: Annotated[Path, typer.Option(metavar="DIR", help="An empty folder, or a new one.")],
    debug: Debug = False,
) -> None:
    """Write a finished run's results compactly: no texts of benchmarks, weights or logs.

    report, table and everything else that reads a run reads the copy too.
    """
    from lwft_bench.reporting.report import write_report
    from lwft_bench.results.packing import pack_run

    size = pack_run(run, out)
    typer.echo(f"{out}: {size / 2**20:.2f} MiB without its report")
    typer.echo(write_report(out))
