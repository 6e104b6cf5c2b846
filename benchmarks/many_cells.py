"""What a report of many cells and a suite of many cells take, in processor time and peak memory.

    python benchmarks/many_cells.py report reports/examples/arith 250 500 1000 2000 --processors 1 2 \\
        --figure docs/figures/many-cells.png
    python benchmarks/many_cells.py expand 1000 10000

`report` makes run directories of so many cells by copying those of a finished run under other models'
and seeds' names, and has each report made in a process of its own, which may use so many processors.
`expand` does the same with a suite. A line for each number of cells, at least as many as asked for: all
models have the same methods and seeds.

Processor time is that of the process and all below it, user and system. Memory is the largest sum of
their proportional set sizes (PSS: what several share counts once), looked at ten times a second at most
and in a thirtieth of the time, since looking takes a processor. On a machine with other work seconds by
the clock say nothing, and processor time is longer than on a quiet one; --clock draws
the former too.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Measured:
    """One report or expansion. seconds: by the clock. processor: seconds. peak: GiB."""

    cells: int
    processors: int
    seconds: float
    processor: float
    peak: float

    def __str__(self) -> str:
        return (
            f"| {self.cells:,} | {self.processors} | {self.seconds:.1f} | {self.processor:.1f} "
            f"| {self.peak:.2f} |"
        )


_REST = 30
"""Times as long as looking at memory took, until it is looked at again."""
HEADER = "| cells | processors | s | s of processor | peak, GiB |\n|---:|---:|---:|---:|---:|"


def measured(code: str, path: str, cells: int, processors: int) -> Measured:
    """Of a process that runs this on so many processors, and of those below it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", _ON.format(processors) + code, path], stdout=subprocess.DEVNULL
    )
    peak = 0
    while process.poll() is None:
        looked = time.perf_counter()
        peak = max(peak, _proportional_bytes(process.pid))
        time.sleep(max(0.1, _REST * (time.perf_counter() - looked)))
    seconds = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"it ended with {process.returncode}")
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = usage.ru_utime + usage.ru_stime - before.ru_utime - before.ru_stime
    return Measured(cells, processors, seconds, processor, peak / 2**30)


def _proportional_bytes(pid: int) -> int:
    """Of the process and all below it; of those that are still there."""
    try:
        told = Path(f"/proc/{pid}/smaps_rollup").read_text()
        below = [
            int(child)
            for children in Path(f"/proc/{pid}/task").glob("*/children")
            for child in children.read_text().split()
        ]
    except (OSError, ProcessLookupError):
        return 0
    own = next(int(line.split()[1]) * 1024 for line in told.splitlines() if line.startswith("Pss:"))
    return own + sum(map(_proportional_bytes, below))


_ON = """
import os
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:{}])
"""
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
    numbers: Sequence[int],
    processors: Sequence[int],
    make: Callable[[Path, int], tuple[str, int]],
    code: str,
) -> Iterator[Measured]:
    """make: gets a folder and a number of cells; returns what is measured and its number of cells."""
    for wanted in numbers:
        for some in processors:
            with tempfile.TemporaryDirectory(dir=".") as folder:
                path, number = make(Path(folder), wanted)
                yield measured(code, path, number, some)


def draw(found: Sequence[Measured], path: Path, clock: bool) -> None:
    """Seconds and memory over the number of cells.

    Args:
        clock: draw the seconds by the clock too, which say something on a quiet machine.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    times, memory = figure.subplots(1, 2)
    for place, some in enumerate(sorted({one.processors for one in found})):
        color = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")[place % 4]
        own = sorted((one for one in found if one.processors == some), key=lambda one: one.cells)
        cells = [one.cells for one in own]
        on = f"on {some} processor{'s' if some > 1 else ''}"
        times.plot(
            cells, [one.processor for one in own], "o-", color=color, label=f"processor, {on}"
        )
        if clock:
            label = f"by the clock, {on}"
            times.plot(cells, [one.seconds for one in own], "s--", color=color, label=label)
        memory.plot(cells, [one.peak for one in own], "o-", color=color, label=on)
    for panel, what in ((times, "seconds"), (memory, "peak memory (GiB)")):
        panel.set(xlabel="cells of the run", ylabel=what, xlim=(0, None), ylim=(0, None))
        panel.grid(color="#E6E6E6")
        panel.set_axisbelow(True)
        panel.legend(frameon=False)
    figure.savefig(path, dpi=110, metadata={"Software": None} if path.suffix == ".png" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=("report", "expand"))
    parser.add_argument("given", nargs="+", help="of a report: a finished run; numbers of cells")
    parser.add_argument("--processors", nargs="+", type=int, default=[1])
    parser.add_argument("--figure", type=Path, help="drawn anew after every line")
    parser.add_argument("--clock", action="store_true", help="draw seconds by the clock too")
    options = parser.parse_args()
    given = list(options.given)
    if options.what == "report":
        source = Path(given.pop(0))

        def run_of(folder: Path, number: int) -> tuple[str, int]:
            return str(folder / "run"), multiplied(source, folder / "run", number)

    make, code = (run_of, _REPORT) if options.what == "report" else (written_suite, _EXPAND)
    print(HEADER, flush=True)
    found = []
    for one in rows([int(number) for number in given], options.processors, make, code):
        found.append(one)
        print(one, flush=True)
        if options.figure:
            draw(found, options.figure, options.clock)


if __name__ == "__main__":
    main()
