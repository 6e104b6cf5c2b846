"""A run whose cells share out the model over two processes: whole, stopped, killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import children_of, until
from safetensors.torch import load_file

from lwft_bench.results.store import WEIGHTS, RunStore

pytestmark = [pytest.mark.faults, pytest.mark.timeout(0)]

ROOT = Path(__file__).parents[2]
CELL = "embedded--grass--arith--seed0"
SUITE = """\
name: shared
models: [embedded]
methods: [base, grass]
tasks: [arith]
seeds: [0]
keep_weights: all
training:
  {{steps: 40, batch_size: 5, lr: 1.0e-3, max_length: 96, checkpoint_every: 2{more}}}
overrides:
  - task: arith
    set: {{task.train_examples: 40, task.items_per_benchmark: 4, task.validation_examples: 4}}
  - method: grass
    set: {{strategy.period: 4, strategy.probing_steps: 3, strategy.refresh: 8}}
"""
LR = 1e-3
LONG = 900.0


@pytest.fixture(scope="module")
def suites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suites")
    (folder / "shared.yaml").write_text(SUITE.format(more=", sharded: 2"))
    (folder / "alone.yaml").write_text(SUITE.format(more=""))
    return folder


def start(suite: Path, out: Path, *, torchrun: bool = False) -> subprocess.Popen[str]:
    words = ["-m", "lwft_bench", "run", str(suite), "--out", str(out)]
    if torchrun:
        words = ["-m", "torch.distributed.run", "--nproc-per-node", "2", *words]
    else:
        words += ["--devices", "cpu", "--no-timing"]
        words += ["--devices-per-cell", "2"] if suite.stem == "shared" else []
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(suite: Path, out: Path, **options: bool) -> str:
    run = start(suite, out, **options)
    printed, _ = run.communicate(timeout=LONG)
    assert run.returncode == 0, printed
    return printed


def in_the_middle(out: Path) -> bool:
    return len(list(out.glob(f"work/{CELL}/checkpoint-*"))) > 0


@pytest.fixture(scope="module")
def whole(suites: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    finished(suites / "shared.yaml", out)
    return out


def test_it_trains_and_scores_as_one_process(whole: Path, suites: Path, tmp_path: Path) -> None:
    finished(suites / "alone.yaml", tmp_path)
    (base, one), (base_too, two) = RunStore(tmp_path).results(), RunStore(whole).results()
    assert base.weights_digest == base_too.weights_digest
    assert two.engagement is not None and two.engagement.passed
    assert two.missing == {}
    assert two.confounds["training.sharded"] == two.confounds["training.ranks"] == 2
    assert "training.sharded" not in one.confounds
    assert one.training is not None and two.training is not None
    assert two.training.num_ranks == 2
    assert two.training.trained_parameters == one.training.trained_parameters
    for figure in ("final_loss", "validation_loss_before", "validation_loss_after"):
        expected = pytest.approx(getattr(one.training, figure), rel=1e-4)
        assert getattr(two.training, figure) == expected
    assert one.memory is not None and two.memory is not None
    assert two.memory.components["weights"] < 0.55 * one.memory.components["weights"]
    assert 0.45 < two.memory.offloaded_bytes / one.memory.offloaded_bytes < 0.55
    kept = [
        load_file(RunStore(out).cell_folder(CELL) / WEIGHTS / "model.safetensors")
        for out in (tmp_path, whole)
    ]
    assert kept[0].keys() == kept[1].keys()
    # AdamW moves a weight whose gradient is nearly zero by its sign, which rounding decides.
    further = sum(int(((kept[0][n] - kept[1][n]).abs() > 0.05 * LR).sum()) for n in kept[0])
    assert further < 1e-4 * sum(tensor.numel() for tensor in kept[0].values())
    answers = [
        [(row.id, row.response) for row in RunStore(out).samples(CELL)] for out in (tmp_path, whole)
    ]
    assert answers[0] == answers[1]


def test_one_process_is_refused_before_anything_runs(suites: Path, tmp_path: Path) -> None:
    words = ["-m", "lwft_bench", "run", str(suites / "shared.yaml"), "--out", str(tmp_path)]
    run = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=LONG
    )
    assert run.returncode == 2
    assert (
        "training.sharded is 2, and each of its cells would have 1 process"
        in run.stderr + run.stdout
    )
    assert not list(tmp_path.glob("work/*"))


def test_kept_weights_are_scored_by_one_process(whole: Path) -> None:
    before = RunStore(whole).results()[1]
    words = ["-m", "lwft_bench", "evaluate", str(whole), "--benchmarks", "yes-or-no"]
    run = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=LONG
    )
    assert run.returncode == 0, run.stdout + run.stderr
    after = RunStore(whole).results()[1]
    assert after.weights_digest == before.weights_digest
    earlier = {score.benchmark: score.value for score in before.scores}
    later = {score.benchmark: score.value for score in after.scores}
    assert earlier.items() <= later.items()


@pytest.mark.parametrize("how", ["stopped", "a process killed", "torchrun, a rank killed"])
def test_the_same_command_goes_on_to_the_same_bits(
    whole: Path, suites: Path, tmp_path: Path, how: str
) -> None:
    torchrun = how.startswith("torchrun")
    run = start(suites / "shared.yaml", tmp_path, torchrun=torchrun)
    until(lambda: in_the_middle(tmp_path), seconds=LONG)
    if how == "stopped":
        run.send_signal(signal.SIGINT)
        printed, _ = run.communicate(timeout=LONG)
        assert run.returncode == 130, printed
        assert "interrupted, checkpoint written" in printed
    elif torchrun:
        os.kill(children_of(run.pid)[-1], signal.SIGKILL)
        printed, _ = run.communicate(timeout=LONG)
        assert run.returncode != 0
        assert "another rank has ended" in printed
    else:
        run.kill()
        run.communicate(timeout=LONG)
    assert len(list(tmp_path.glob(f"work/{CELL}/checkpoint-*/tensors-1.safetensors"))) > 0
    printed = finished(suites / "shared.yaml", tmp_path, torchrun=torchrun)
    assert "goes on from its checkpoint" in printed
    digests = [[r.weights_digest for r in RunStore(out).results()] for out in (whole, tmp_path)]
    assert digests[0] == digests[1]


def ranks_of(run: int) -> list[int]:
    """Processes below the run that train a cell together."""
    below = children_of(run)
    found = [pid for pid in below if b"be_rank()" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return found + [rank for pid in below for rank in ranks_of(pid)]


def test_a_cell_that_loses_a_process_starts_again(
    whole: Path, suites: Path, tmp_path: Path
) -> None:
    run = start(suites / "shared.yaml", tmp_path)
    until(lambda: in_the_middle(tmp_path), seconds=LONG)
    os.kill(ranks_of(run.pid)[-1], signal.SIGKILL)
    printed, _ = run.communicate(timeout=LONG)
    assert run.returncode == 0, printed
    digests = [[r.weights_digest for r in RunStore(out).results()] for out in (whole, tmp_path)]
    assert digests[0] == digests[1]
