"""A run with what real cells preload, whose cells write down what they find. `... OUT`."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fake_cells import FakeSuite

from lwft_bench.cell.outcomes import new_result
from lwft_bench.execution.options import RunOptions
from lwft_bench.execution.runner import run_suite
from lwft_bench.results.store import read_cell_record, write_result
from lwft_bench.schema.cell import Cell

LIBRARIES = ("torch", "transformers", "datasets", "peft", "lm_eval.evaluator")


def run_cell(
    cell: Cell,
    folder: Path,
    emit: Callable[[dict[str, Any]], None],
    should_stop: Callable[[], bool],
    *,
    save: bool,
    reuse: bool,
) -> None:
    loaded = [name for name in LIBRARIES if name in sys.modules]
    forked_from_one_thread = threading.active_count() == 1
    import torch

    at = time.time()
    threads = torch.get_num_threads()
    before = len(os.listdir("/proc/self/task"))
    torch.randn(1500, 1500) @ torch.randn(1500, 1500)
    found = {
        "loaded": loaded,
        "threads": threads,
        "threads_started": len(os.listdir("/proc/self/task")) - before,
        "one_thread": forked_from_one_thread,
        "at": at,
    }
    result = new_result(cell, read_cell_record(folder), "done", confounds=found)
    write_result(folder, result)


if __name__ == "__main__":
    suite = FakeSuite(("first", "second"), training={"threads": 3})
    options = RunOptions(run_cell="probe_cells:run_cell", check="", workers=1)
    code = run_suite(suite, Path(sys.argv[1]), options, report=lambda out: "")
    heavy = [name for name in ("torch", "transformers", "numpy", "pandas") if name in sys.modules]
    print("heavy modules in the parent:", heavy)
    sys.exit(code)
