"""A finished run is scored on more benchmarks: with the weights that it kept, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lwft_bench.execution import evaluating
from lwft_bench.execution.evaluating import evaluate_run
from lwft_bench.execution.options import RunOptions
from lwft_bench.execution.runner import run_suite
from lwft_bench.results.store import RunStore
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.result import SCHEMA_VERSION
from lwft_bench.schema.run import SuiteRecord
from lwft_bench.suites.loading import load_suite

SUITE = """
name: again
models: [embedded]
methods: [base, fft]
tasks:
  - name: arith
    data: generated-arithmetic
    train_examples: 16
    validation_examples: 0
    benchmarks: [{benchmarks}]
    items_per_benchmark: 3
seeds: [0]
keep_weights: {keep}
training: {{steps: 1, batch_size: 2, max_length: 96, device: cpu, threads: 1}}
"""

ONE_AT_A_TIME = RunOptions(workers=1)


def run(folder: Path, benchmarks: str, keep: str) -> Path:
    folder.mkdir()
    file = folder / "suite.yaml"
    file.write_text(SUITE.format(benchmarks=benchmarks, keep=keep))
    out = folder / "run"
    assert run_suite(load_suite(str(file)), out, ONE_AT_A_TIME, report=lambda out: "") == 0
    return out


def steps(out: Path) -> set[float]:
    """When the steps ran, so to speak: their times are never twice the same."""
    return {path.stat().st_mtime for path in out.glob("cells/*/steps.jsonl")}


@pytest.mark.slow
def test_scores_are_those_of_a_run_that_had_both(tmp_path: Path) -> None:
    first = run(tmp_path / "first", "add-sub", "all")
    trained = steps(first)
    with pytest.raises(UserError, match="algebra-choise"):
        evaluate_run(first, ["algebra-choise"])
    done = evaluate_run(first, ["algebra-choice"], ONE_AT_A_TIME, report=lambda out: "")
    assert done == 0 and steps(first) == trained
    whole = run(tmp_path / "whole", "add-sub, algebra-choice", "none")
    found = [
        [(one.cell, one.identity, one.scores) for one in RunStore(out).results()]
        for out in (first, whole)
    ]
    assert found[0] == found[1]
    assert all(len(scores) == 2 for _, _, scores in found[0])
    with pytest.raises(UserError, match="fft--arith--seed0: its weights were not kept"):
        evaluate_run(whole, ["multi-step"], ONE_AT_A_TIME)


def test_who_asks_for_scores_gets_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = SuiteRecord(
        schema_version=SCHEMA_VERSION, name="s", title="", description="", baseline=None, cells=()
    )
    RunStore(tmp_path).write_suite(record, "name: s\n")
    asked = []

    def run_cells(*arguments: Any, **options: Any) -> int:
        asked.append(arguments[4])
        return 0

    monkeypatch.setattr(evaluating, "run_cells", run_cells)
    evaluate_run(tmp_path, ["add-sub"], RunOptions(workers=3))
    assert asked == [RunOptions(workers=3, reuse=False)]
