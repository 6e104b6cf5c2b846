from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from built import comparison_tables

from lwft_bench.reporting.numbers.comparison import compare
from lwft_bench.reporting.read.records import read_run
from lwft_bench.reporting.render.table import Table


def marked(run: Path, overlap: dict[tuple[str, str], str]) -> Table | None:
    """The table, once every sample says whether its question was trained on."""
    for file in run.glob("cells/*/samples.jsonl"):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        marked = [row | {"overlap": overlap.get((row["benchmark"], row["id"]))} for row in rows]
        file.write_text("".join(json.dumps(row) + "\n" for row in marked))
    records = read_run(run)
    return comparison_tables(records, compare(records)[0]).get("contamination")


@pytest.fixture
def run(maker: Any) -> Path:
    return maker.fill((0,))


def test_runs_that_did_not_look_have_no_table(run: Path) -> None:
    records = read_run(run)
    assert comparison_tables(records, compare(records)[0]).get("contamination") is None


def test_without_overlap_there_are_counts_only(run: Path) -> None:
    table = marked(run, {})
    assert table is not None
    assert list(table.display.columns) == ["benchmark", "items", "exact", "near"]
    assert set(table.display["exact"]) == {"0"}


def test_scores_without_what_was_trained_on(run: Path) -> None:
    records = read_run(run)
    fft = records.samples[records.samples["cell"].str.contains("--fft--")]
    mine = fft[fft["benchmark"] == "add-sub"]
    solved = [("add-sub", identifier) for identifier in mine[mine["correct"]]["id"]]
    kinds = dict.fromkeys(solved, "exact") | {solved[0]: "near"}
    table = marked(run, kinds)
    assert table is not None
    shown = table.display.set_index("benchmark")
    assert shown.loc["add-sub", ["exact", "near"]].tolist() == [str(len(solved) - 1), "1"]
    assert shown.loc["add-sub", "fft"] == f"{100 * len(solved) / len(mine):.1f} → 0.0"
    before, _, after = shown.loc["multi-step", "fft"].partition(" → ")
    assert before == after
    before, _, after = shown.loc["average", "fft"].partition(" → ")
    assert float(before) > float(after)
