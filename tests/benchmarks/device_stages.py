"""Stages for tests of the device check's processes: light, and wrong in one way each."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.device.setting import NotHere, Row, Setting, attempt


def good(setting: Setting) -> Iterator[Row]:
    yield {"table": "numbers", "what": "one", "time_seconds": 0.25, "size_bytes": 2**30}
    yield {"table": "numbers", "what": "endless", "time_seconds": float("inf")}


def overruns(setting: Setting) -> Iterator[Row]:
    """And leaves a child that would outlive it."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (setting.folder / "child").write_text(str(child.pid))
    yield {"table": "numbers", "what": "before the end"}
    time.sleep(600)


def dies(setting: Setting) -> Iterator[Row]:
    yield {"table": "numbers", "what": "before the end"}
    os.kill(os.getpid(), signal.SIGKILL)


def raises(setting: Setting) -> Iterator[Row]:
    yield {"table": "numbers", "what": "before the end"}
    raise RuntimeError("a kernel that is not there")


def lacks(setting: Setting) -> Iterator[Row]:
    raise NotHere("the package of dreams is not installed")
    yield {}


def lacks_on_import(setting: Setting) -> Iterator[Row]:
    import a_package_that_nobody_has  # type: ignore[import-not-found]

    yield {"table": "numbers", "what": a_package_that_nobody_has}


def lacks_our_own(setting: Setting) -> Iterator[Row]:
    import lwft_bench.nothing_of_this_name  # type: ignore[import-not-found]

    yield {"table": "numbers", "what": lwft_bench.nothing_of_this_name}


def one_row_of_three(setting: Setting) -> Iterator[Row]:
    def memory() -> Row:
        raise MemoryError("out of memory\nand a long tale")

    def missing() -> Row:
        raise NotHere("the package liger_kernel is not installed")

    yield attempt("numbers", "too large", memory)
    yield attempt("numbers", "not here", missing)
    yield attempt("numbers", "works", lambda: {"passed": True})
