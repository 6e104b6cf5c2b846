"""Commands about what can be named in a suite, and for authors of plugins."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lwft_bench.cli.app import app
from lwft_bench.cli.arguments import Debug, Plugins


class Pluggable(StrEnum):
    """Kinds of plugins."""

    STRATEGY = "strategy"
    ADAPTER = "adapter"
    OPTIMIZER = "optimizer"


@app.command("list")
def list_(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="[methods|strategies|adapters|optimizers|models|tasks|benchmarks|suites]",
            help="Everything if left out.",
        ),
    ] = None,
    plugin: Plugins = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    debug: Debug = False,
) -> None:
    """Show what there is to name in a suite, and where each comes from."""
    import json

    from lwft_bench.cli import listing
    from lwft_bench.plugins.files import load_plugin
    from lwft_bench.plugins.registry import REGISTRIES

    for path in plugin or ():
        load_plugin(path)
    found = {each: listing.rows(each) for each in ([kind] if kind else listing.KINDS)}
    if as_json:
        typer.echo(json.dumps(found[kind] if kind else found, indent=2))
    else:
        typer.echo(
            "\n\n".join(f"{each}\n{listing.list_as_text(rows)}" for each, rows in found.items())
        )
    for problem in (problem for registry in REGISTRIES for problem in registry.problems):
        typer.echo(problem, err=True)


@app.command()
def new(
    kind: Annotated[Pluggable, typer.Argument(help="What to write.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as my-strategy.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write it.")] = Path("."),
    debug: Debug = False,
) -> None:
    """Write a plugin that works, to begin with, and its test."""
    from lwft_bench.cli.scaffolding import write_plugin

    plugin, test = write_plugin(kind.value, name, out)
    command = f"lwft-bench check {kind.value} {shlex.quote(str(plugin))}"
    typer.echo(f"{plugin}\n{test}\n\nCheck it:  {command}")


@app.command()
def check(
    kind: Annotated[Pluggable, typer.Argument(help="What to check.")],
    file_or_name: Annotated[
        str, typer.Argument(metavar="FILE_OR_NAME", help="A plugin file, or a name.")
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="OPTION=VALUE", help="Check it with this. Repeatable."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Check a strategy, an adapter or an optimizer; exit code 1 if it fails a check."""
    from lwft_bench.cli import checking

    checked = checking.check_plugins(kind.value, file_or_name, settings or ())
    typer.echo(checking.outcomes_as_text(checked))
    raise typer.Exit(0 if checking.all_passed(checked) else 1)
