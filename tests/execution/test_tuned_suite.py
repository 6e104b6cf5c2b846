"""A small suite that tunes, through the command line, with the embedded model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lwft_bench.results.store import RunStore

SUITE = """
name: tuned
models: [embedded]
methods: [fft, lisa]
tasks:
  - name: arith
    data: generated-arithmetic
    train_examples: 40
    validation_examples: 4
    benchmarks: [add-sub]
    items_per_benchmark: 4
seeds: [0]
baseline: fft
training: {steps: 4, batch_size: 4, device: cpu, validate_every: 1}
overrides: [{method: lisa, set: {strategy.period: 2}}]
tune:
  grid: {training.lr: [1e-3, 3e-3]}
  methods: {lisa: {training.lr: [1e-3, 1e12]}}
  seeds: [100]
  steps: 2
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lwft_bench", "run", "suite.yaml", "--out", "run", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a first run was narrowed to fft, and a second one was not."""
    path = tmp_path_factory.mktemp("tuned")
    (path / "suite.yaml").write_text(SUITE)
    first = run(path, "--methods", "fft")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "lisa" not in first.stdout
    second = run(path)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "tuned, tuning: 4 cells: 2 new, 2 done" in second.stdout
    return path


def test_trials_end_with_a_validation_loss_and_never_see_a_benchmark(folder: Path) -> None:
    store = RunStore(folder / "run")
    results = store.trial_results()
    assert len(results) == 4
    for result in results:
        assert (result.scores, result.average) == ([], None)
        assert store.samples(result.cell) == []
        assert store.config(result.cell).training.steps == 2
        assert result.status == "diverged" or (
            result.training is not None and result.training.validation_loss_after is not None
        )


def test_the_best_value_trains_the_cells(folder: Path) -> None:
    store = RunStore(folder / "run")
    fft, lisa = store.read_suite().tunings
    losses = {
        store.config(result.cell).training.lr: result.training.validation_loss_after
        for result in store.trial_results()
        if result.method == "fft" and result.training
    }
    assert fft.chosen == {"training.lr": min(losses, key=losses.__getitem__)}
    assert lisa.chosen == {"training.lr": 1e-3}
    for tuning in (fft, lisa):
        (cell,) = tuning.cells
        assert store.config(cell).training.lr == tuning.chosen["training.lr"]  # type: ignore[index]
        assert store.read_result(cell).scores


def test_operations_of_the_steps_add_up(folder: Path) -> None:
    store = RunStore(folder / "run")
    for result in store.results():
        assert result.training is not None
        spent = sum(row.flops or 0 for row in store.steps(result.cell))
        assert spent == pytest.approx(result.training.flops, abs=len(store.steps(result.cell)))


def test_the_report_has_the_tables(folder: Path) -> None:
    report = (folder / "run" / "report.md").read_text()
    for heading in ("Tuning", "Trials of the tuning", "At equal floating-point operations"):
        assert f"### {heading}" in report
    assert json.loads((folder / "run" / "suite.json").read_text())["trials"]
    within = (folder / "run/tables/equal_flops.csv").read_text()
    assert "fft" in within


def test_the_same_command_again_does_nothing(folder: Path) -> None:
    again = run(folder)
    assert again.returncode == 0
    assert "tuned, tuning: nothing to do: 4 cells: 3 done, 1 failed" in again.stdout
    assert "tuned: nothing to do: all 2 cells are done" in again.stdout
