from pathlib import Path
from typing import Any

import pytest

from lwft_bench.reporting.merging import merge_runs
from lwft_bench.reporting.report import write_report
from lwft_bench.results.store import RunStore
from lwft_bench.schema.errors import UserError
from tests.reporting.conftest import RunMaker

FFT, LORA = RunMaker.METHODS[1], RunMaker.METHODS[2]
TORCH: dict[str, Any] = {"versions": {"torch": "2.12.0"}}


def made(folder: Path, *cells: tuple[Any, int], failed: tuple[Any, int] | None = None,
         provenance: dict[str, Any] | None = None, **training: Any) -> Path:  # fmt: skip
    maker = RunMaker(folder, num_items=20)
    for method, seed in cells:
        maker.add(method, seed, provenance=provenance, training=training)
    if failed:
        maker.fail(*failed, "crashed", "killed")
    maker.finish()
    (folder / "suite.yaml").write_text("name: synthetic\n")
    return folder


def test_parts_of_a_sweep_are_one_run(tmp_path: Path) -> None:
    one = made(tmp_path / "one", (FFT, 0), (LORA, 0))
    other = made(tmp_path / "other", (FFT, 1), (LORA, 1))
    told = merge_runs([one, other], tmp_path / "all")
    assert told == ["4 of 4 cells, from 2 runs"]
    store = RunStore(tmp_path / "all")
    assert [result.seed for result in store.results()] == [0, 0, 1, 1]
    assert store.samples("tiny--fft--arith--seed1") == RunStore(other).samples(
        "tiny--fft--arith--seed1"
    )
    write_report(tmp_path / "all")
    assert "differ" not in "".join(told)


def test_a_cell_that_both_have_is_taken_once_and_a_done_one_first(tmp_path: Path) -> None:
    one = made(tmp_path / "one", (FFT, 0), failed=(LORA, 0))
    other = made(tmp_path / "other", (FFT, 0), (LORA, 0))
    assert merge_runs([one, other], tmp_path / "all") == ["2 of 2 cells, from 2 runs"]
    assert [result.status for result in RunStore(tmp_path / "all").results()] == ["done"] * 2
    assert not (tmp_path / "all" / "apart").exists()


def test_other_versions_are_named_and_the_report_keeps_them_apart(tmp_path: Path) -> None:
    one = made(tmp_path / "one", (FFT, 0), (FFT, 1))
    other = made(tmp_path / "other", (FFT, 2), provenance=TORCH)
    told = merge_runs([one, other], tmp_path / "all")
    differs = "cells differ in torch, and the report keeps them apart: 2.13.0: 2 cells; 2.12.0: 1"
    assert told[1].startswith(differs)
    report = write_report(tmp_path / "all")
    assert report
    assert "torch 2.12.0" in (tmp_path / "all" / "report.md").read_text()


def test_the_same_cell_made_otherwise_is_kept_apart(tmp_path: Path) -> None:
    one = made(tmp_path / "one" / "run", (FFT, 0), provenance=TORCH)
    other = made(tmp_path / "other" / "run", (FFT, 0), (FFT, 1))
    told = merge_runs([one, other], tmp_path / "all")
    assert f"tiny--fft--arith--seed0 of {one} differs in torch (2.12.0, not 2.13.0)" in told[-1]
    assert (tmp_path / "all/apart/run-1/tiny--fft--arith--seed0/result.json").exists()
    results = RunStore(tmp_path / "all").results()
    assert {result.provenance["versions"]["torch"] for result in results} == {"2.13.0"}


def test_other_precision_is_named(tmp_path: Path) -> None:
    one = made(tmp_path / "one", (FFT, 0))
    other = made(tmp_path / "other", (FFT, 0), precision="bf16")
    told = merge_runs([one, other], tmp_path / "all")
    assert "differs in dtype (bf16, not float32): kept in apart/other/" in told[-1]


def test_what_cannot_be_merged_is_told(tmp_path: Path) -> None:
    one = made(tmp_path / "one", (FFT, 0))
    other = made(tmp_path / "other", (FFT, 1))
    suite = other / "suite.json"
    suite.write_text(suite.read_text().replace('"synthetic"', '"another"'))
    with pytest.raises(UserError, match="is a run of suite `another`"):
        merge_runs([one, other], tmp_path / "all")
    with pytest.raises(UserError, match="is not an empty folder"):
        merge_runs([one], other)
    with pytest.raises(UserError, match="is not a run directory"):
        merge_runs([one, tmp_path], tmp_path / "all")
    with pytest.raises(UserError, match=r"cannot be made: Not a directory"):
        merge_runs([one], suite / "all")
    (one / "correctness.csv").write_text("")
    with pytest.raises(UserError, match="is packed"):
        merge_runs([one], tmp_path / "all")
    assert not (tmp_path / "all").exists()
