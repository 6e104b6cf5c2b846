"""Starts the trainers, gives them their turns, and writes down what they tell.

Run in the peers' environment, by `compare.py`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers.page import machine, versions, write_page
from benchmarks.peers.peers import APART, PEERS
from benchmarks.peers.sizes import ALLOWED, SIZES
from benchmarks.peers.weights import differences
from lwft_bench.timing.turns import there_and_back

ROOT = Path(__file__).parents[2]
WARM_UP = 2
"""Steps that nobody times, the first of which is timed by itself."""
Row = dict[str, Any]


@dataclass
class Worker:
    """A trainer's process. why: it ended, and this was its last word."""

    peer: str
    folder: Path
    process: subprocess.Popen[str] | None = None
    why: str = ""
    first: Row = field(default_factory=dict)

    def start(self) -> Worker:
        """Up to the end of its warm-up."""
        log = self.folder / f"{self.peer}.log"
        threads = {
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.peers.worker", self.peer, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("w", encoding="utf-8"),
            text=True,
            cwd=ROOT,
            env=os.environ
            | threads
            | {
                "PEERS_STARTED": str(time.time()),
                "PYTHONPATH": os.pathsep.join([str(ROOT), *_apart(self.peer)]),
                "HF_HUB_OFFLINE": "1",
                "PYTHONWARNINGS": "ignore",
            },
        )
        self.first = self.order("1") or {}
        if self.first:
            self.order(str(WARM_UP - 1))
        return self

    def order(self, text: str) -> Row | None:
        """None: the process has ended."""
        assert self.process is not None and self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write(f"{text}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        line = self.process.stdout.readline()
        if line:
            answer: Row = json.loads(line)
            return answer
        lines = (self.folder / f"{self.peer}.log").read_text(encoding="utf-8").split("\n")
        self.why = next((one.strip() for one in reversed(lines) if one.strip()), "it said nothing")
        return None

    def end(self) -> None:
        if self.process is not None:
            assert self.process.stdin
            self.process.stdin.close()
            self.process.wait()


def _apart(peer: str) -> list[str]:
    return [str(Path(sys.prefix, APART))] if peer == APART else []


def measure(options: argparse.Namespace) -> None:
    options.out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    about: Row = {"pairs": options.pairs, "steps": options.steps, "sizes": {}, "first": []}
    about |= {"machine": machine(), "versions": versions()}
    began = time.time()
    for name in options.sizes:
        print(f"{name}: starting {len(options.peers)} trainers", flush=True)
        folder = Path(tempfile.mkdtemp(prefix=f"peers-{name}-"))
        try:
            _measure_size(name, folder, options, rows, about)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        about["wall_seconds"] = time.time() - began
        _write(options.out, rows, about)
    apart = {name: size["differences"].get("bare", 0.0) for name, size in about["sizes"].items()}
    if max(apart.values()) > ALLOWED:
        raise SystemExit(f"the bare loop ends in other weights (learning rates apart: {apart})")


def _measure_size(
    name: str, folder: Path, options: argparse.Namespace, rows: list[Row], about: Row
) -> None:
    from benchmarks.peers.setting import make_setting

    num_steps = WARM_UP + options.pairs * options.steps
    setting = make_setting(SIZES[name], folder, num_steps + 2)
    workers = [Worker(peer, folder) for peer in options.peers]
    cores = min(2, len(os.sched_getaffinity(0)))
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(Worker.start, workers))
    alive = [worker for worker in workers if not worker.why]
    about["first"] += [{"size": name, "peer": w.peer, **w.first, "why": w.why} for w in workers]
    loads = []
    for pair in range(options.pairs):
        loads.append(os.getloadavg()[0])
        for turn, worker in enumerate(there_and_back(alive, pair)):
            told = worker.order(str(options.steps))
            if told is None:
                raise SystemExit(f"{worker.peer} ended in the middle: {worker.why}")
            rows.append({"size": name, "peer": worker.peer, "pair": pair, "turn": turn, **told})
        print(f"{name}: {pair + 1} of {options.pairs} rounds", flush=True)
    saved = {}
    for worker in alive:
        if PEERS[worker.peer].weights:
            worker.order(str(folder / "weights" / worker.peer))
            saved[worker.peer] = folder / "weights" / worker.peer
    for worker in workers:
        worker.end()
    about["sizes"][name] = {
        "parameters": _num_parameters(folder),
        "batch_size": setting.batch_size,
        "length": setting.length,
        "layers": setting.num_layers,
        "median_length": setting.median_length,
        "longest": setting.longest,
        "padding": setting.padding,
        "tokens_a_step": sum(setting.tokens) / len(setting.tokens),
        "load": [min(loads), max(loads)],
        "differences": differences(saved),
        "steps_done": num_steps,
    }


def _num_parameters(folder: Path) -> int:
    from benchmarks.peers.bare_loop import weights

    return sum(tensor.numel() for tensor in weights(folder / "model").values())


COLUMNS = (
    "size",
    "peer",
    "pair",
    "turn",
    "seconds",
    "processor_seconds",
    "waiting_seconds",
    "tokens",
)
COLUMNS += ("base_bytes", "peak_bytes", "device_bytes", "switches")


def _write(out: Path, rows: list[Row], about: Row) -> None:
    with (out / "turns.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {
                key: f"{value:.6g}" if isinstance(value, float) else value
                for key, value in row.items()
            }
            for row in rows
        )
    (out / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    write_page(out)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, required=True)
    parser.add_argument("--peers", nargs="+", choices=PEERS, required=True)
    parser.add_argument("--out", type=Path, required=True)
    measure(parser.parse_args())


if __name__ == "__main__":
    main()
