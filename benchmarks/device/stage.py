"""One stage in a process of its own: rows go to a file as they are found."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.device import nvml  # noqa: E402
from benchmarks.device.setting import NotHere, Setting  # noqa: E402

OURS = {"lwft_bench", "benchmarks", "tests"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help='the "module:function" that yields the rows')
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--planners", type=int, default=0)
    parser.add_argument("--rehearse", action="store_true")
    told = parser.parse_args()
    deadline = time.monotonic() + told.seconds
    setting = Setting(told.device, told.rehearse, deadline, told.folder, told.planners)
    with told.rows.open("a", encoding="utf-8") as file:

        def write(row: dict[str, Any]) -> None:
            file.write(json.dumps(_plain(row)) + "\n")
            file.flush()

        try:
            module, _, function = told.run.partition(":")
            for row in getattr(import_module(module), function)(setting):
                write(row)
        except NotHere as reason:
            write({"stage skipped": str(reason)})
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in OURS:
                raise
            write({"stage skipped": f"the package {error.name} is not installed"})
        if found := nvml.clocks():
            write({"table": "clocks", "what": "at the stage's end", **found})


def _plain(value: Any) -> Any:
    """JSON has no infinity and no NaN."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # not waiting for workers whose answers nobody wants any more
