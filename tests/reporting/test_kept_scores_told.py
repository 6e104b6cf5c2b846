"""Scores that were taken from another run are told wherever the cell goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lwft_bench.reporting.merging import merge_runs
from lwft_bench.reporting.numbers.comparison import compare
from lwft_bench.reporting.read.records import read_run
from lwft_bench.reporting.report import write_report
from lwft_bench.results.packing import pack_run
from lwft_bench.results.store import RunStore
from tests.reporting.built import comparison_tables
from tests.reporting.conftest import RunMaker

BASE, FFT = RunMaker.METHODS[:2]
ORIGIN: dict[str, Any] = {
    "run": "other",
    "cell": "small--base--sums",
    "finished": "2026-01-02T03:04:05+00:00",
    "seconds": 12.34,
    "key": "ab" * 32,
}
TOLD = (
    "Not evaluated here, since an equal untrained model had answered the same items with the same "
    "software on the same kind of device, and its answers were kept: tiny--base--arith (of "
    "small--base--sums in run other, 2026-01-02, 12.3 s). With --no-reuse every cell is evaluated."
)


def notes(run: Path) -> tuple[str, ...]:
    records = read_run(run)
    (comparison,) = compare(records)
    return comparison_tables(records, comparison)["main"].notes


@pytest.fixture
def made(tmp_path: Path) -> Path:
    maker = RunMaker(tmp_path / "run", num_items=20)
    maker.add(BASE, 0, scores_from=ORIGIN, phase_seconds={"load": 1.0})
    for seed in (0, 1):
        maker.add(FFT, seed)
    run = maker.finish()
    (run / "suite.yaml").write_text("name: synthetic\n")
    return run


def test_it_stands_under_the_main_table(made: Path) -> None:
    assert TOLD in notes(made)
    write_report(made)
    assert "small--base--sums in run other" in (made / "report.md").read_text()


def test_differences_are_paired_with_its_samples(made: Path) -> None:
    (comparison,) = compare(read_run(made))
    base = comparison.rows[0]
    assert base.label == "base" and base.differences


def test_packed_and_merged_runs_have_it_too(made: Path, tmp_path: Path) -> None:
    pack_run(made, tmp_path / "packed")
    merge_runs([made], tmp_path / "merged")
    for run in (tmp_path / "packed", tmp_path / "merged"):
        result = RunStore(run).read_result("tiny--base--arith")
        assert result.scores_from is not None
        assert result.scores_from.model_dump() == ORIGIN
        assert RunStore(run).samples(result.cell)
        assert notes(run) == notes(made)


def test_why_nothing_could_be_taken_is_told(maker: RunMaker) -> None:
    maker.add(BASE, 0, scores_not_taken="not a whole gzip file")
    (told,) = [note for note in notes(maker.finish()) if "cannot be taken" in note]
    assert told == (
        "Evaluated, since the answers that were kept of an equal model cannot be taken (not a whole "
        "gzip file): tiny--base--arith."
    )


def test_a_name_from_elsewhere_stays_text(maker: RunMaker) -> None:
    maker.add(BASE, 0, scores_from=ORIGIN | {"run": "<img src=x> ![a](https://b)"})
    maker.add(FFT, 0)
    run = maker.finish()
    write_report(run)
    report = (run / "report.md").read_text()
    assert "in run" in report and "<img" not in report and "](https" not in report
