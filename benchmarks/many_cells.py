"""What a report of many cells and a suite of many cells take, in processor time and peak memory.

    python benchmarks/many_cells.py report reports/examples/arith 250 500 1000 2000
    python benchmarks/many_cells.py expand 1000 10000

`report` makes run directories of so many cells by copying those of a finished run under other models'
and seeds' names, and has each report made in a process of its own. `expand` does the same with a suite.
A line for each number of cells, at least as many as asked for: all models have the same methods and
seeds.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MODELS = 10
"""Over which the cells are spread; the rest of their number is seeds."""


def multiplied(source: Path, target: Path, num_cells: int) -> int:
    """A run directory of copies of the cells of the source's first seed; how many there are."""
    suite = json.loads((source / "suite.json").read_text())
    first = [cell for cell in suite["cells"] if cell["seed"] == suite["cells"][0]["seed"]]
    trained = sum("--seed" in cell["id"] for cell in first)
    untrained = MODELS * (len(first) - trained)
    seeds = max(1, -(-(num_cells - untrained) // (trained * MODELS)))
    cells = []
    for model in (f"model{number}" for number in range(MODELS)):
        for cell in first:
            # The untrained model has one cell for all seeds.
            for seed in range(seeds) if "--seed" in cell["id"] else (cell["seed"],):
                cells.append(_copied(source, target, cell, model, seed))
    (target / "suite.json").write_text(json.dumps(suite | {"cells": cells}))
    (target / "suite.yaml").write_text((source / "suite.yaml").read_text())
    return len(cells)


def _copied(
    source: Path, target: Path, cell: dict[str, Any], model: str, seed: int
) -> dict[str, Any]:
    name = cell["id"].replace(cell["model"], model, 1)
    name = name.replace(f"--seed{cell['seed']}", f"--seed{seed}")
    folder = target / "cells" / name
    folder.mkdir(parents=True)
    for path in (source / "cells" / cell["id"]).iterdir():
        if path.suffix == ".jsonl":
            (folder / path.name).hardlink_to(path.resolve())
    before = source / "cells" / cell["id"]
    config = json.loads((before / "config.json").read_text())
    config |= {"id": name, "seed": seed, "model": config["model"] | {"name": model}}
    (folder / "config.json").write_text(json.dumps(config))
    result = json.loads((before / "result.json").read_text())
    (folder / "result.json").write_text(
        json.dumps(result | {"cell": name, "model": model, "seed": seed})
    )
    return cell | {"id": name, "model": model, "seed": seed}


def written_suite(folder: Path, num_cells: int) -> tuple[str, int]:
    """As many cells by methods, seeds and an ablated option: the suite's file, and their number."""
    methods = ["fft", "lora", "lisa", "grass", "ows-norm"]
    seeds = -(-num_cells // (len(methods) * MODELS))
    path = folder / "many.yaml"
    path.write_text(
        f"name: many\nmodels: [embedded]\nmethods: [{', '.join(methods)}]\ntasks: [arith]\n"
        f"seeds: {list(range(seeds))}\n"
        "training: {steps: 10}\n"
        f"ablate: {{training.lr: {[round(1e-4 * (k + 1), 7) for k in range(MODELS)]}}}\n"
    )
    return str(path), len(methods) * seeds * MODELS


def measured(code: str, *arguments: str) -> tuple[float, float, float]:
    """Wall and processor seconds and peak GiB of a process that runs this."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    told = subprocess.run(
        [sys.executable, "-c", code + _PEAK, *arguments], check=True, capture_output=True, text=True
    )
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = usage.ru_utime + usage.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - started, processor, int(told.stdout.split()[-1]) / 2**20


_PEAK = "\nimport resource\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
_REPORT = """
import sys
from pathlib import Path
from lwft_bench.reporting.report import write_report
write_report(Path(sys.argv[1]))
"""
_EXPAND = """
import sys
from lwft_bench.suites.loading import load_suite
print(len(load_suite(sys.argv[1]).all_cells))
"""


def rows(
    numbers: list[int], make: Callable[[Path, int], tuple[str, int]], code: str
) -> Iterator[str]:
    """make: gets a folder and a number of cells; returns what is measured and its number of cells."""
    yield "| cells | s | s of processor | peak, GiB |"
    yield "|---:|---:|---:|---:|"
    for number in numbers:
        with tempfile.TemporaryDirectory(dir=".") as folder:
            path, number = make(Path(folder), number)
            seconds, processor, peak = measured(code, path)
        yield f"| {number:,} | {seconds:.1f} | {processor:.1f} | {peak:.2f} |"


def main() -> None:
    what, *rest = sys.argv[1:]
    if what == "report":
        source = Path(rest.pop(0))

        def run(folder: Path, number: int) -> tuple[str, int]:
            return str(folder / "run"), multiplied(source, folder / "run", number)

        found = rows([int(number) for number in rest], run, _REPORT)
    else:
        numbers = [int(number) for number in rest]
        found = rows(numbers, written_suite, _EXPAND)
    for row in found:
        print(row, flush=True)


if __name__ == "__main__":
    main()
