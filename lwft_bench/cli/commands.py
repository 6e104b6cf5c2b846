"""The command line: parses, calls and prints.

Every command imports what it needs when it runs, so that `--help` and errors come at once.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lwft_bench.schema.errors import UserError

if TYPE_CHECKING:
    from lwft_bench.suites.loading import Suite

app = typer.Typer(
    name="lwft-bench",
    help="A benchmark and ablation harness for layer-wise fine-tuning of language models.",
    no_args_is_help=True,
    add_completion=False,
    # Both would import rich, a third of the time that --help may take.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

BAD_INPUT, INTERRUPTED = 2, 130


class Retry(StrEnum):
    FAILED = "failed"


class Pluggable(StrEnum):
    STRATEGY = "strategy"


class Format(StrEnum):
    MARKDOWN = "markdown"
    LATEX = "latex"
    CSV = "csv"


Run = Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run.")]
SuiteFile = Annotated[str, typer.Argument(metavar="SUITE", help="A suite file or a shipped suite.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set an option everywhere. Repeatable."),
]
Only = Annotated[
    str | None, typer.Option(metavar="PATTERN", help="Cells whose id matches, e.g. '*lora*'.")
]
Models = Annotated[str | None, typer.Option(metavar="A,B", help="Only these models.")]
Methods = Annotated[str | None, typer.Option(metavar="A,B", help="Only these methods.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error too.")]
Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE", help="A Python file with strategies. Repeatable."),
]


def main() -> None:
    """The console script. What the user can mend is shown as a message, with exit code 2."""
    # Until a run takes Ctrl-C over: typer would make exit code 1 of it.
    signal.signal(signal.SIGINT, lambda *_: sys.exit(INTERRUPTED))
    # Imported by peft where it is installed, it warns of an optional package that nothing here uses.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        app()
    except UserError as error:
        if "--debug" in sys.argv:
            import traceback

            traceback.print_exc()
        typer.echo(error, err=True)
        sys.exit(BAD_INPUT)


def _version(wanted: bool) -> None:
    if wanted:
        from lwft_bench import __version__

        typer.echo(f"lwft-bench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    suite: SuiteFile,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Default: reports/<name of the suite>.")
    ] = None,
    plugin: Plugins = None,
    settings: Settings = None,
    only: Only = None,
    models: Models = None,
    methods: Methods = None,
    tasks: Annotated[str | None, typer.Option(metavar="A,B", help="Only these tasks.")] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="0,1", help="These seeds instead of the suite's.")
    ] = None,
    workers: Annotated[int | None, typer.Option(metavar="N", min=1, help="Cells at once.")] = None,
    retry: Annotated[Retry | None, typer.Option(help="Run failed cells again.")] = None,
    save_weights: Annotated[
        bool, typer.Option("--save-weights", help="Keep the fine-tuned models.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Never ask the model hub; use what is cached.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Run a suite: what is not done yet of it, and its report.

    Exit codes: 0 all cells done, 1 some failed, 2 bad input, 130 interrupted.
    """
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    loaded = _suite(
        suite,
        settings,
        plugin,
        only=only,
        models=_names(models),
        methods=_names(methods),
        tasks=_names(tasks),
        seeds=_numbers(seeds),
    )
    loaded.require_runnable()
    from lwft_bench.execution.runner import RunOptions, run_suite

    options = RunOptions(
        workers=workers, retry_failed=retry is Retry.FAILED, save_weights=save_weights
    )
    raise typer.Exit(run_suite(loaded, out or Path("reports", loaded.name), options))


@app.command()
def plan(
    suite: SuiteFile,
    budget: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Of the device, such as 24GiB or 24GB.")
    ] = None,
    plugin: Plugins = None,
    settings: Settings = None,
    only: Only = None,
    models: Models = None,
    methods: Methods = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    figure: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw peak memory against training.max_length."),
    ] = None,
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

    num_bytes = None if budget is None else parse_size(budget)
    loaded = _suite(
        suite, settings, plugin, only=only, models=_names(models), methods=_names(methods)
    )
    from lwft_bench.planning.plan_figure import draw_plan
    from lwft_bench.planning.plan_text import as_text
    from lwft_bench.planning.suite_plan import as_json as plan_as_json
    from lwft_bench.planning.suite_plan import plan_suite
    from lwft_bench.planning.verification import verify_plan

    planned = plan_suite(loaded, num_bytes, lambda text: typer.echo(text, err=True))
    typer.echo(json.dumps(plan_as_json(planned), indent=2) if as_json else as_text(planned))
    if figure is not None:
        draw_plan(planned, figure)
    if verify:
        raise typer.Exit(0 if verify_plan(planned, lambda text: typer.echo(text)) else 1)


@app.command()
def report(run: Run, debug: Debug = False) -> None:
    """Make a run's report again from its files."""
    from lwft_bench.reporting.report import write_report

    typer.echo(write_report(run))


@app.command()
def table(
    run: Run,
    format: Annotated[Format, typer.Option(help="How to write it.")] = Format.MARKDOWN,
    name: Annotated[str, typer.Option("--table", metavar="NAME", help="Which table.")] = "main",
    debug: Debug = False,
) -> None:
    """Print one table of a run."""
    from lwft_bench.reporting.report import print_table

    typer.echo(print_table(run, format.value, name))


@app.command()
def profile(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Directories of runs.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The PNG file to write.")],
    methods: Methods = None,
    debug: Debug = False,
) -> None:
    """Draw what layers score by task: do they matter differently for different tasks?"""
    from lwft_bench.reporting.report import write_profile

    typer.echo(write_profile(runs, out, _names(methods)))


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
        typer.echo("\n\n".join(f"{each}\n{listing.as_text(rows)}" for each, rows in found.items()))
    for problem in (problem for registry in REGISTRIES for problem in registry.problems):
        typer.echo(problem, err=True)


@app.command()
def new(
    kind: Annotated[Pluggable, typer.Argument(help="What to write.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as my-strategy.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write it.")] = Path("."),
    debug: Debug = False,
) -> None:
    """Write a strategy that works, to begin with, and its test."""
    from lwft_bench.cli.scaffolding import write_strategy

    strategy, test = write_strategy(name, out)
    typer.echo(f"{strategy}\n{test}\n\nCheck it:  lwft-bench check {kind.value} {strategy}")


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
    """Check a strategy on a simulated trainer; exit code 1 if it fails a check."""
    from lwft_bench.cli import checking

    checked = checking.check_strategies(file_or_name, settings or ())
    typer.echo(checking.as_text(checked))
    raise typer.Exit(0 if checking.all_passed(checked) else 1)


@app.command()
def audit(
    suite: SuiteFile,
    settings: Settings = None,
    debug: Debug = False,
) -> None:
    """Count the test questions of a suite that stand in its training data, or nearly do."""
    from lwft_bench.data import contamination

    typer.echo(contamination.as_text(contamination.audit(_suite(suite, settings).all_cells)))


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


def _suite(
    name: str, settings: list[str] | None, plugins: list[Path] | None = None, **chosen: Any
) -> Suite:
    from lwft_bench.suites.loading import Changes, load_suite

    changes = Changes(
        settings=tuple(settings or ()), plugins=tuple(map(str, plugins or ())), **chosen
    )
    return load_suite(name, changes)


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(text.split(","))


def _numbers(text: str | None) -> tuple[int, ...] | None:
    names = _names(text)
    if names is None:
        return None
    if not all(name.isdecimal() for name in names):
        raise UserError(f"--seeds: expected whole numbers with commas between, found {text!r}")
    return tuple(map(int, names))
