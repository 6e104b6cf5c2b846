"""What makes reports of many cells fast changes nothing in them."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from lwft_bench.reporting import in_processes as module
from lwft_bench.reporting.in_processes import in_processes
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.rows import differences
from lwft_bench.reporting.read.by_cell import ByCell
from lwft_bench.reporting.read.records import read_run

EXAMPLE = Path(__file__).parents[2] / "reports/examples/arith"


def test_processes_give_what_one_process_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_safe_to_fork", lambda: True)
    monkeypatch.setattr(module, "_processors", lambda: 2)
    found = in_processes(lambda item: (item * item, os.getpid()), [3, 1, 4, 1, 5])
    assert [square for square, _ in found] == [9, 1, 16, 1, 25]
    assert os.getpid() not in {pid for _, pid in found}


def test_few_pieces_stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_safe_to_fork", lambda: True)
    assert set(in_processes(lambda _: os.getpid(), [1, 2])) == {os.getpid()}


def test_rows_by_cell_are_those_of_a_mask() -> None:
    frame = pd.DataFrame({"cell": ["b", "a", "b", "c"], "step": [1, 2, 3, 4]})
    by_cell = ByCell(frame)
    for cell in ("a", "b", "c", "none"):
        pd.testing.assert_frame_equal(by_cell.of(cell), frame[frame["cell"] == cell])
    pd.testing.assert_frame_equal(by_cell.of_all(["c", "b"]), frame[frame["cell"].isin(["b", "c"])])
    assert ByCell(frame.iloc[:0]).of("a").empty


def test_frames_and_tables_are_those_of_rows_read_one_by_one() -> None:
    records = read_run(EXAMPLE)
    cell = next(cell.id for cell in records.cells if cell.method == "grass")
    own = records.samples[records.samples["cell"] == cell]
    context = Context.of(records)
    row = next(row for row in context.comparisons[0].rows if row.method == "grass")
    seed = next(one.seed for one in row.cells if one.id == cell)
    for name, group in own.groupby("benchmark"):
        expected = group.set_index("id")["correct"].astype(float).sort_index()
        pd.testing.assert_series_equal(
            row.correct[str(name)].loc[seed], expected, check_names=False
        )
        numbers = row.labels(str(name), row.correct[str(name)].columns)
        clusters = group.set_index("id")["cluster"].loc[row.correct[str(name)].columns]
        assert numbers is not None
        assert numbers.tolist() == pd.factorize(clusters)[0].tolist()
    other = next(row for row in context.comparisons[0].rows if row.method == "lisa")
    assert differences(row, other) is differences(row, other)
