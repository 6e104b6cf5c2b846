"""Real cells under a small limit for silence: who goes on is not killed, however slow or suspended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import children_of, server_of, until

from lwft_bench.results.store import RunStore

pytestmark = [pytest.mark.faults, pytest.mark.timeout(0)]

ROOT = Path(__file__).parents[2]
LIMIT = 20.0
"""Seconds of silence. On a busy machine imports alone are silent for five."""
CELL = "embedded--fft--arith--seed0"
SUITE = """\
name: silence
models: [embedded]
methods: [fft]
tasks: [arith]
seeds: [0]
training: {{steps: {steps}, batch_size: 4, lr: 1.0e-3, max_length: 96, checkpoint_every: 2}}
evaluation: {{batch_size: 1}}
overrides:
  - task: arith
    set: {{task.train_examples: 40, task.items_per_benchmark: {items}, task.validation_examples: 4}}
"""


def start(folder: Path, out: Path, steps: int, items: int) -> subprocess.Popen[str]:
    suite = folder / "suite.yaml"
    suite.write_text(SUITE.format(steps=steps, items=items))
    command = ["run", str(suite), "--out", str(out), "--silence", str(LIMIT)]
    return subprocess.Popen(
        [sys.executable, "-m", "lwft_bench", *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_an_evaluation_that_lasts_longer_than_the_limit(tmp_path: Path) -> None:
    run = start(tmp_path, tmp_path / "run", steps=2, items=400)
    printed, _ = run.communicate()
    assert run.returncode == 0, printed
    (result,) = RunStore(tmp_path / "run").results()
    assert result.status == "done"
    assert result.throughput is not None and result.throughput.evaluation_seconds is not None
    assert result.throughput.evaluation_seconds > 2 * LIMIT, "it tests nothing"
    assert re.search(rf"{CELL}: evaluate \d+/\d+", printed), printed


@pytest.mark.parametrize("whom", ["the cell", "all"])
def test_a_process_suspended_for_longer_goes_on(tmp_path: Path, whom: str) -> None:
    """As by Ctrl-Z, or by a scheduler that hands its processor to another job."""
    out = tmp_path / "run"
    with start(tmp_path, out, steps=40, items=4) as run:
        until(lambda: any(out.glob(f"work/{CELL}/checkpoint-*")), seconds=300)
        server = server_of(run.pid)
        assert server is not None
        cells = children_of(server)
        suspended = cells if whom == "the cell" else [run.pid, server, *cells]
        for process in suspended:
            os.kill(process, signal.SIGSTOP)
        time.sleep(2.5 * LIMIT)
        for process in suspended:
            os.kill(process, signal.SIGCONT)
        printed, _ = run.communicate()
    assert run.returncode == 0, printed
    assert "starting it again" not in printed
    assert printed.count(f"{CELL}: started") == 1
    with start(tmp_path, tmp_path / "undisturbed", steps=40, items=4) as undisturbed:
        printed, _ = undisturbed.communicate()
    assert undisturbed.returncode == 0, printed
    digests = [
        RunStore(folder).results()[0].weights_digest for folder in (out, tmp_path / "undisturbed")
    ]
    assert digests[0] == digests[1]
