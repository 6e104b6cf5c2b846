"""The command line's frame: options of every call, exit codes, and how errors are shown."""

from __future__ import annotations

import errno
import io
import logging
import os
import signal
import sys
from typing import Annotated

import typer

from lwft_bench.schema.errors import UserError

app = typer.Typer(
    name="lwft-bench",
    help="A benchmark and ablation harness for layer-wise fine-tuning of language models.",
    no_args_is_help=True,
    # Both would import rich, a third of the time that --help may take.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

BAD_INPUT, INTERRUPTED = 2, 130
_OF_THE_DISK = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO
)  # fmt: skip


def main() -> None:
    """The console script. What the user can mend is shown as a message, with exit code 2."""
    # Until a run takes Ctrl-C over: typer would make exit code 1 of it.
    signal.signal(signal.SIGINT, lambda *_: sys.exit(INTERRUPTED))
    # Imported by peft where it is installed, it warns of an optional package that nothing here uses.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal in latin-1 gets a ? for what it lacks
            stream.reconfigure(errors="replace")
    try:
        app()
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            raise
        where = error.filename or "the output"
        _end_with(
            f"{where}: {error.strerror}\n"
            "nothing done is lost: the same command goes on once it is mended"
        )
    except UserError as error:
        _end_with(error)


def _end_with(message: object) -> None:
    """Shows it, if that can be written, and exits."""
    try:
        if "--debug" in sys.argv:
            import traceback

            traceback.print_exc()
        typer.echo(message, err=True)
        sys.stdout.flush()
    except OSError:  # what is left in the streams would be written, and fail, once more at exit
        os._exit(BAD_INPUT)
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
