"""A run over two processes, as users start it: whole, interrupted, and with a rank killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import children_of, until

from lwft_bench.results.store import RunStore

pytestmark = [pytest.mark.faults, pytest.mark.timeout(0)]

ROOT = Path(__file__).parents[2]
CELL = "embedded--grass--arith--seed0"
SUITE = """\
name: two-ranks
models: [embedded]
methods: [base, grass]
tasks: [arith]
seeds: [0]
training: {steps: 60, batch_size: 5, lr: 1.0e-3, max_length: 96, checkpoint_every: 2}
overrides:
  - task: arith
    set: {task.train_examples: 40, task.items_per_benchmark: 4, task.validation_examples: 4}
  - method: grass
    set: {strategy.period: 4, strategy.probing_steps: 3, strategy.refresh: 8}
"""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suite") / "suite.yaml"
    path.write_text(SUITE)
    return path


def start(suite: Path, out: Path) -> subprocess.Popen[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    return subprocess.Popen(
        [*torchrun, "-m", "lwft_bench", "run", str(suite), "--out", str(out)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def in_the_middle(out: Path) -> bool:
    return len(list(out.glob(f"work/{CELL}/checkpoint-*"))) > 0


@pytest.fixture(scope="module")
def whole(suite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    run = start(suite, out)
    printed, _ = run.communicate(timeout=300)
    assert run.returncode == 0, printed
    assert "one at a time over 2 ranks" in printed
    assert printed.count("base--arith: started") == 1
    return out


def test_a_run_is_complete_and_says_how_many_trained_it(whole: Path) -> None:
    base, grass = RunStore(whole).results()
    assert (base.status, grass.status) == ("done", "done")
    assert grass.engagement is not None and grass.engagement.passed
    assert grass.training is not None and grass.training.num_ranks == 2
    assert grass.confounds["training.ranks"] == grass.provenance["ranks"] == 2
    assert grass.provenance["command"].startswith("torchrun --nproc-per-node 2 -m lwft_bench run")
    assert (whole / "report.md").exists()
    assert not list(whole.glob("work/*"))
    folder = RunStore(whole).cell_folder(CELL)
    steps = [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]
    assert [row["step"] for row in steps] == list(range(-3, 60))


@pytest.mark.parametrize("how", ["stopped", "a rank killed"])
def test_the_same_command_goes_on_to_the_same_weights(
    whole: Path, suite: Path, tmp_path: Path, how: str
) -> None:
    run = start(suite, tmp_path)
    until(lambda: in_the_middle(tmp_path))
    if how == "stopped":
        run.send_signal(signal.SIGINT)
    else:
        os.kill(children_of(run.pid)[-1], signal.SIGKILL)
    printed, _ = run.communicate(timeout=120)
    assert run.returncode != 0
    expected = "interrupted, checkpoint written" if how == "stopped" else "another rank has ended"
    assert expected in printed
    assert in_the_middle(tmp_path)
    again = start(suite, tmp_path)
    printed, _ = again.communicate(timeout=300)
    assert again.returncode == 0, printed
    assert "goes on from its checkpoint" in printed
    digests = [[r.weights_digest for r in RunStore(out).results()] for out in (whole, tmp_path)]
    assert digests[0] == digests[1]


def test_a_cell_of_two_devices_has_the_weights_of_one_under_torchrun(
    whole: Path, suite: Path, tmp_path: Path
) -> None:
    """Stopped in the middle, too."""
    words = ["--out", str(tmp_path), "--devices", "cpu", "--devices-per-cell", "2", "--no-timing"]
    command = [sys.executable, "-m", "lwft_bench", "run", str(suite), *words]

    def begin() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    run = begin()
    until(lambda: in_the_middle(tmp_path), seconds=300.0)
    run.send_signal(signal.SIGINT)
    printed, _ = run.communicate(timeout=120)
    assert run.returncode == 130, printed
    assert "interrupted, checkpoint written" in printed
    run = begin()
    printed, _ = run.communicate(timeout=300)
    assert run.returncode == 0, printed
    assert "goes on from its checkpoint" in printed
    here, there = RunStore(tmp_path).results(), RunStore(whole).results()
    assert [one.weights_digest for one in here] == [one.weights_digest for one in there]
    assert here[1].training is not None and here[1].training.num_ranks == 2
    assert here[1].provenance["ranks"] == 2
