"""The stage that trains and scores the embedded model on the device, beside the CPU's shipped report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.device.setting import NotHere, Row, Setting

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "reports" / "examples" / "arith"
PRECISIONS = ("float32", "bf16")
METHODS = ("fft", "grass")
SEEDS = (0, 1, 2)
TINY = ("training.steps=2", "training.validate_every=0", "task.items_per_benchmark=2")


def run(setting: Setting) -> Iterator[Row]:
    """One run a method and precision, so that what is done stands."""
    table = "average over suites/arith.yaml's benchmarks, in points"
    for method in METHODS[:1] if setting.rehearse else METHODS:
        for precision in PRECISIONS[:1] if setting.rehearse else PRECISIONS:
            if setting.left() < 8:
                return
            seeds = SEEDS[:1] if setting.rehearse else SEEDS
            row: Row = {"table": table, "what": f"{method}, {precision}"}
            out = setting.folder / f"{method}-{precision}"
            failed = _suite(setting, out, method, precision, seeds)
            here = _averages(out, method, seeds)
            if failed or not here:
                yield row | {"failed": failed or "no cell was done"}
                continue
            yield row | _beside(here, _averages(SHIPPED, method, seeds))


def _suite(
    setting: Setting, out: Path, method: str, precision: str, seeds: tuple[int, ...]
) -> str | None:
    """Runs the command that users run; what went wrong."""
    changes = [f"training.device={setting.device}", f"training.precision={precision}"]
    changes += TINY if setting.rehearse else ()
    command = [sys.executable, "-m", "lwft_bench", "run", str(ROOT / "suites" / "arith.yaml")]
    command += ["--out", str(out), "--methods", method, "--seeds", ",".join(map(str, seeds))]
    command += ["--no-reuse"]
    for change in changes:
        command += ["--set", change]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    if "No module named" in done.stderr:
        raise NotHere(done.stderr.strip().splitlines()[-1])
    lines = (done.stderr + done.stdout).strip().splitlines()
    return None if done.returncode == 0 else f"exit code {done.returncode}: {lines[-1][:200]}"


def _averages(run: Path, method: str, seeds: tuple[int, ...]) -> list[float]:
    """Of the cells that are done, by seed, in points."""
    found: list[float] = []
    for seed in seeds:
        path = run / "cells" / f"embedded--{method}--arith--seed{seed}" / "result.json"
        if path.exists():
            result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if result.get("average") is not None:
                found.append(100 * result["average"])
    return found


def _beside(here: list[float], there: list[float]) -> Row:
    row: Row = {"seeds": len(here), "here": mean(here)}
    if len(here) > 1:
        row |= {"spread_here": stdev(here)}
    if len(there) >= len(here):
        pairs = [a - b for a, b in zip(here, there, strict=False)]
        row |= {"cpu": mean(there[: len(here)]), "difference": mean(pairs)}
        row |= {"largest_of_a_seed": max(pairs, key=abs)}
        if len(here) > 1:
            row |= {"spread_cpu": stdev(there)}
    return row
