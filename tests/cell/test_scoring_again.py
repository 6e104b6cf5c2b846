"""Kept weights are scored on more benchmarks as if these had been there from the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lwft_bench.cell.run import run_cell
from lwft_bench.results.atomic import write_json_atomic
from lwft_bench.results.reading import read_result_file
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.events import PhaseBegan
from lwft_bench.schema.result import CellResult
from lwft_bench.schema.run import CellRecord
from tests.cell.test_run import cell

BOTH = ("add-sub", "algebra-choice")


def of(method: str, benchmarks: tuple[str, ...]) -> Cell:
    made = cell(method, steps=2)
    return made.model_copy(update={"task": made.task.model_copy(update={"benchmarks": benchmarks})})


def run(folder: Path, cell: Cell, digest: str = "0") -> tuple[CellResult, list[Any]]:
    folder.mkdir(exist_ok=True)
    record = CellRecord(digest=digest, components={}, threads=1)
    write_json_atomic(folder / "identity.json", record.model_dump(mode="json"))
    events: list[Any] = []
    run_cell(cell, folder, events.append, lambda: False, save=True)
    phases = [event.phase for event in events if isinstance(event, PhaseBegan)]
    return read_result_file(folder / "result.json"), phases


@pytest.mark.parametrize("method", ["fft", pytest.param("lora", marks=pytest.mark.slow)])
def test_scores_are_those_of_a_run_that_had_both(tmp_path: Path, method: str) -> None:
    first, _ = run(tmp_path / "a", of(method, BOTH[:1]))
    (tmp_path / "a" / "result.json").rename(tmp_path / "a" / "trained.json")
    again, phases = run(tmp_path / "a", of(method, BOTH), "1")
    assert phases == ["evaluate"], "nothing was trained"
    whole, _ = run(tmp_path / "b", of(method, BOTH))
    assert again.scores == whole.scores and len(again.scores) == 2
    samples = [(tmp_path / run / "samples.jsonl").read_bytes() for run in ("a", "b")]
    assert samples[0] == samples[1]
    assert again.weights_digest == whole.weights_digest == first.weights_digest
    assert again.training == first.training and again.memory == first.memory
    assert again.identity == "1"
    assert "evaluated" in again.provenance

    text = (tmp_path / "b" / "result.json").read_text()
    other = text.replace(str(whole.weights_digest), "f" * 64)
    (tmp_path / "a" / "trained.json").write_text(other)
    with pytest.raises(UserError, match="are not those that the cell was trained to"):
        run(tmp_path / "a", of(method, BOTH), "2")
