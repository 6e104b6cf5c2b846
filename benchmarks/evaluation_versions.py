"""How long a cell's whole evaluation takes, in this version and in others, with each engine.

    OMP_NUM_THREADS=1 python benchmarks/evaluation_versions.py MODEL ITEMS TURNS CHECKOUT [CHECKOUT ...]

Each CHECKOUT is a work tree of another version (`git worktree add PATH COMMIT`), whose own code runs in
processes of its own; the environment's packages are the same for all. All evaluate the default suite's
six benchmarks, ITEMS each, with the same model in float32, by turns after a turn that warms up. Prints
medians of processor time, loading of the items and evaluating them apart, how many times as fast as the
first CHECKOUT each is with Student's interval over turns, and how many responses and scores are equal
to its.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

HERE = Path(__file__).resolve()


class Process:
    """One version with one engine, which evaluates when it is asked to."""

    def __init__(self, checkout: Path, engine: str, model: str, items: str) -> None:
        self.name = f"{checkout.name}, {engine}"
        self._process = subprocess.Popen(
            [sys.executable, str(HERE), "--serve", engine, model, items],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(checkout)},
        )
        used = Path(json.loads(self._line()))
        if not used.is_relative_to(checkout):
            raise SystemExit(f"{checkout}: its code was to run, and {used} did")

    def turn(self) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._line())
        return found

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name}: it ended with {self._process.wait()}")
        return line


def serve(engine: str, path: str, number: int) -> None:
    """Runs in any version: only what all of them have is used."""
    from lwft_bench.data.items import load_items
    from lwft_bench.evaluation import harness
    from lwft_bench.models.loading import load_model, load_tokenizer
    from lwft_bench.schema.cell import EvaluationConfig, ModelConfig
    from lwft_bench.suites.loading import load_suite

    logging.disable(logging.WARNING)
    import torch

    config = ModelConfig(name="model", path=path)
    model = load_model(config, dtype=torch.float32, attention="sdpa", seed=0)
    tokenizer = load_tokenizer(config)
    task = load_suite("arith").cells[0].task.model_copy(update={"items_per_benchmark": number})
    settings: dict[str, Any] = {} if engine == "transformers" else {"engine": engine}
    print(json.dumps(str(Path(harness.__file__).resolve())), flush=True)
    for _ in sys.stdin:
        started = time.process_time()
        items = {name: load_items(task, name) for name in task.benchmarks}
        loaded = time.process_time()
        found = harness.evaluate(model, tokenizer, items, EvaluationConfig(**settings))
        told = {
            "items": loaded - started,
            "evaluation": time.process_time() - loaded,
            "scores": {one.benchmark: one.value for one in found.scores},
            "responses": [one.response for one in found.samples],
        }
        print(json.dumps(told), flush=True)


def main() -> None:
    model, items, turns, *others = sys.argv[1:]
    checkouts = [Path(one).resolve() for one in others]
    ways = [Process(one, "transformers", model, items) for one in checkouts]
    ways += [
        Process(HERE.parents[1], engine, model, items) for engine in ("transformers", "ctranslate2")
    ]
    answers = [way.turn() for way in ways]
    found: list[list[dict[str, Any]]] = [[] for _ in ways]
    for turn in range(int(turns)):
        for place in range(len(ways))[:: 1 if turn % 2 == 0 else -1]:
            found[place].append(ways[place].turn())
    for way in ways:
        way.end()
    from lwft_bench.reporting.numbers.timing import Interval

    print(f"{len(answers[0]['responses'])} items, {turns} turns\n")
    print("| | loading items, s | evaluating, s | times as fast [95 %] | responses | scores |")
    print("|---|---:|---:|---:|---:|---:|")
    logs = np.log([[one["evaluation"] for one in its] for its in found])
    for place, (way, its) in enumerate(zip(ways, found, strict=True)):
        ratio = Interval.over(logs[0] - logs[place])
        low, high = (f"{bound:.2f}" if bound else "–" for bound in (ratio.low, ratio.high))
        pairs = zip(answers[place]["responses"], answers[0]["responses"], strict=True)
        scores = answers[place]["scores"].items() & answers[0]["scores"].items()
        print(
            f"| {way.name} | {median(one['items'] for one in its):.3f} "
            f"| {median(one['evaluation'] for one in its):.2f} "
            f"| {ratio.mean:.2f} [{low}, {high}] | {sum(a == b for a, b in pairs)} | {len(scores)} |"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()
