"""A run of pretended cells that can be slow to report, and whose disk can fill.

`python faulty_run.py OUT`, with FAULTY_REPORT (seconds that the report takes) and FAULTY_WRITE, such as
`parent:3` or `cell:2`: which write, of which process, finds no room.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fake_cells import FakeSuite, run, write_report
from fake_cells import run_cell as run_pretended_cell

from lwft_bench.cli.app import main
from lwft_bench.schema.cell import Cell

SUITE = FakeSuite(("ok", "second", "third"), step_seconds=0.02)
OUT = Path(sys.argv[1]) if __name__ == "__main__" else Path()


def report(out: Path) -> str:
    (out / "report.md").write_text("half a report")
    time.sleep(float(os.environ.get("FAULTY_REPORT", "0")))
    return write_report(out)


def fill_the_disk(who: str) -> None:
    """From now on this process finds no room at one of its writes, which all end with an fsync."""
    process, _, number = os.environ.get("FAULTY_WRITE", "").partition(":")
    if process != who:
        return
    fsync, left = os.fsync, [int(number)]

    def full(descriptor: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device", "somewhere")
        fsync(descriptor)

    os.fsync = full


def run_cell(cell: Cell, folder: Path, *arguments: Callable[..., Any], **options: Any) -> None:
    fill_the_disk("cell")
    run_pretended_cell(cell, folder, *arguments, **options)


def app() -> None:
    fill_the_disk("parent")
    sys.exit(run(SUITE, OUT, workers=2, report=report, run_cell="faulty_run:run_cell"))


if __name__ == "__main__":
    # Full disks are told by the command line's `main`; by this name its package has the commands.
    vars(sys.modules["lwft_bench.cli.app"])["app"] = app
    main()
