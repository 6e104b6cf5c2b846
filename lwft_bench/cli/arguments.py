"""Arguments that commands share, and the suite that they name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lwft_bench.schema.errors import UserError

if TYPE_CHECKING:
    from lwft_bench.reporting.render.for_print import ForPrint, PrintWidth
    from lwft_bench.suites.loading import Suite

Run = Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run.")]
Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Directories of runs.")]
SuiteName = Annotated[str, typer.Argument(metavar="SUITE", help="A suite file or a shipped suite.")]
SetOptions = Annotated[
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


def suite_of(
    name: str, settings: list[str] | None, plugins: list[Path] | None = None, **chosen: Any
) -> Suite:
    """Loads the suite that a command names, with what it changes."""
    from lwft_bench.suites.loading import Changes, load_suite

    changes = Changes(
        settings=tuple(settings or ()), plugins=tuple(map(str, plugins or ())), **chosen
    )
    return load_suite(name, changes)


def names_in(text: str | None) -> tuple[str, ...] | None:
    """The names of a text with commas between; None of None."""
    return None if text is None else tuple(text.split(","))


def numbers_in(text: str | None) -> tuple[int, ...] | None:
    """The seeds of such a text.

    Raises:
        UserError: One of them is no whole number.
    """
    names = names_in(text)
    if names is None:
        return None
    if not all(name.isdecimal() for name in names):
        raise UserError(f"--seeds: expected whole numbers with commas between, found {text!r}")
    return tuple(map(int, names))


def for_print_in(formats: str | None, width: PrintWidth) -> ForPrint:
    """What `--figures` and `--width` ask for.

    Raises:
        UserError: A format is none of those that figures are drawn in.
    """
    from lwft_bench.reporting.render.for_print import PRINT_FORMATS, ForPrint

    names = names_in(formats) or ()
    unknown = [name for name in names if name not in PRINT_FORMATS]
    if unknown:
        raise UserError(
            f"--figures: expected {' or '.join(PRINT_FORMATS)} with commas between, found "
            f"{', '.join(map(repr, unknown))}",
            "PNG files are always drawn",
        )
    return ForPrint(tuple(one for one in PRINT_FORMATS if one in names), width)
