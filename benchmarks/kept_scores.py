"""What a cell of an untrained model takes when its answers were kept by another run.

    OMP_NUM_THREADS=1 python benchmarks/kept_scores.py [SUITE] [TURNS]

The suite's first cell that nothing trains, by turns: without a place to keep answers in, keeping them,
and taking them; each in a process forked from one that has imported all and run nothing, as cells are.
Prints processor times of these processes, and ratios to the first kind with Student's interval over
turns. Samples of all are compared, byte by byte.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

import lwft_bench.execution.preload  # noqa: F401  # what cells find imported
from lwft_bench.cell.run import run_cell
from lwft_bench.reporting.numbers.timing import Interval
from lwft_bench.results.atomic import write_json_atomic
from lwft_bench.results.store import SAMPLES
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.run import CellRecord
from lwft_bench.suites.loading import load_suite

KINDS = ("evaluated", "evaluated and kept", "taken")


def processor_seconds(cell: Cell, work: Path, place: str) -> float:
    work.mkdir(parents=True)
    record = CellRecord(digest="0", components={}, threads=1)
    write_json_atomic(work / "identity.json", record.model_dump(mode="json"))
    if (process := os.fork()) == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.environ["LWFT_BENCH_SCORES"] = place
        run_cell(cell, work, lambda event: None, lambda: False)
        os._exit(0)
    _, status, used = os.wait4(process, 0)
    assert status == 0, "the cell failed"
    return used.ru_utime + used.ru_stime


def main(suite: str, turns: int) -> None:
    cell = next(cell for cell in load_suite(suite).cells if not cell.method.trains)
    taken: dict[str, list[float]] = {kind: [] for kind in KINDS}
    samples = set()
    with tempfile.TemporaryDirectory() as name:
        for turn in range(turns):
            folder = Path(name, str(turn))
            first, *others = KINDS
            for kind in (first, *others) if turn % 2 == 0 else (*others, first):
                work = folder / kind / "work" / cell.id
                place = "" if kind == first else str(folder / "scores")
                taken[kind].append(processor_seconds(cell, work, place))
                samples.add((work / SAMPLES).read_bytes())
            size = sum(path.stat().st_size for path in (folder / "scores").iterdir())
    print(f"{cell.id}: samples {'equal' if len(samples) == 1 else 'DIFFER'}, {size:,} bytes kept")
    reference = np.log(taken[KINDS[0]])
    for kind, seconds in taken.items():
        ratio = Interval.over(np.log(seconds) - reference)
        shown = ", ".join(f"{one:.2f}" for one in seconds)
        print(
            f"{kind}: {median(seconds):.2f} s ({shown}); "
            f"{ratio.mean:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"
        )


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    main(given.get(1, "arith"), max(2, int(given.get(2, 6))))
