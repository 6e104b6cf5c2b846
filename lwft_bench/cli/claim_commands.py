"""The command that judges claims."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from lwft_bench.cli.app import app
from lwft_bench.cli.arguments import Debug

if TYPE_CHECKING:
    from lwft_bench.reporting.tables_over_runs import Format


class _ClaimFormat(StrEnum):
    TEXT = "text"
    MARKDOWN = "markdown"
    LATEX = "latex"
    CSV = "csv"
    HTML = "html"


@app.command("claims")
def claims_command(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...", help="Directories of runs, and files that `plan --json` wrote."
        ),
    ],
    claims: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A file of claims, or a shipped one's name."),
    ] = None,
    format: Annotated[_ClaimFormat, typer.Option(help="How to write it.")] = _ClaimFormat.TEXT,
    strict: Annotated[
        bool, typer.Option("--strict", help="An undecided claim counts as a failure too.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Judge claims by runs: supported, contradicted or undecided, and what would decide.

    Exit codes: 0 none contradicted, 1 some contradicted (or, with --strict, undecided), 2 bad input.
    """
    from lwft_bench.reporting.claims_of_runs import judge_claims

    judged = judge_claims(runs, claims)
    if format is _ClaimFormat.TEXT:
        typer.echo(judged.as_text())
    else:
        typer.echo(judged.as_table(cast("Format", format.value)))
    failed = judged.contradicted or (strict and judged.undecided)
    raise typer.Exit(1 if failed else 0)
