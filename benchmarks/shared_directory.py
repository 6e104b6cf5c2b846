"""What sharing a directory costs with many cells: cells that do nothing, claimed by several runners.

    python benchmarks/shared_directory.py [CELLS] [RUNNERS]

Prints how long a run takes to see what there is, what a runner spends on a cell (claiming it, its
folder, its result, and giving it back), and how long the report's inputs take to be compared.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

from lwft_bench.cell.outcomes import new_result
from lwft_bench.execution.queue import CellQueue
from lwft_bench.results.claims import Claims
from lwft_bench.results.made_from import inputs_digest
from lwft_bench.results.store import RunStore, State, write_result
from lwft_bench.schema.cell import Cell, EvaluationConfig, ModelConfig, TaskConfig, TrainingConfig
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.run import Identity

IDENTITY = Identity({"config": "c"})


def cells(number: int) -> list[Cell]:
    return [
        Cell(
            id=f"tiny--method--task--seed{seed}",
            model=ModelConfig(name="tiny", path="embedded"),
            method=MethodConfig(name="method", title="method", citation="none"),
            task=TaskConfig(name="task", data="none", train_examples=1, benchmarks=("none",)),
            training=TrainingConfig(steps=1, device="cpu"),
            evaluation=EvaluationConfig(),
            seed=seed,
        )
        for seed in range(number)
    ]


def work(out: Path, number: int, spent: multiprocessing.Queue[tuple[int, float, float]]) -> None:
    """One runner: how many cells it did, and its seconds before and with them."""
    store, claims = RunStore(out), Claims(out)
    began = time.perf_counter()
    queue = CellQueue(store, claims, [(cell, IDENTITY) for cell in cells(number)])
    ready = time.perf_counter()
    done = 0
    with claims.beating():
        while queue.num_waiting:
            queued = queue.take(lambda cell: True)
            if queued is None:
                time.sleep(0.05)
                continue
            cell = queued.cell
            record = store.begin(cell, IDENTITY, threads=1)
            write_result(store.work_folder(cell.id), new_result(cell, record, "done", average=0.5))
            assert queue.holds(cell.id)
            store.publish(cell.id)
            queue.drop(cell.id)
            done += 1
    spent.put((done, ready - began, time.perf_counter() - ready))


def main(number: int, runners: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        spent: multiprocessing.Queue[tuple[int, float, float]] = multiprocessing.Queue()
        began = time.perf_counter()
        processes = [
            multiprocessing.Process(target=work, args=(out, number, spent)) for _ in range(runners)
        ]
        for process in processes:
            process.start()
        found = [spent.get() for _ in processes]
        for process in processes:
            process.join()
        wall = time.perf_counter() - began
        total = sum(done for done, _, _ in found)
        store = RunStore(out)
        looked = time.perf_counter()
        states = [store.state(cell.id, IDENTITY).state for cell in cells(number)]
        seen = time.perf_counter() - looked
        digested = time.perf_counter()
        inputs_digest(out)
        digest = time.perf_counter() - digested
        finished = sum(state is State.DONE for state in states)
        print(
            f"{number} cells, {runners} runners: {finished} done, "
            f"{total - finished} times one that was done already, {wall:.1f} s"
        )
        print(f"a runner's time for a cell: {1000 * sum(s for _, _, s in found) / total:.1f} ms")
        print(f"before the first cell: {max(before for _, before, _ in found):.1f} s")
        print(f"seeing all as done: {seen:.1f} s; the report's inputs: {digest:.1f} s")


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    main(*(numbers + [10_000, 4][len(numbers) :]))
