"""A packed run reads as the run that it was made of."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from built import comparison_tables, run_tables

from lwft_bench.reporting.numbers.comparison import compare
from lwft_bench.reporting.read.records import RunRecords, read_run
from lwft_bench.reporting.render.markdown import to_markdown
from lwft_bench.results.frames import read_run as read_frames
from lwft_bench.results.made_from import inputs_digest
from lwft_bench.results.packing import pack_run
from lwft_bench.schema.errors import UserError

if TYPE_CHECKING:
    from conftest import RunMaker


def all_tables(records: RunRecords) -> dict[str, str]:
    tables = run_tables(records) | comparison_tables(records, compare(records)[0])
    return {name: to_markdown(table) for name, table in tables.items()}


def test_the_same_tables_from_a_tenth_of_the_bytes(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "packed"
    size = pack_run(run, out)
    assert size < 0.1 * sum(path.stat().st_size for path in run.rglob("*.json*"))
    before, after = read_run(run), read_run(out)
    for frame in ("results", "samples", "steps", "selections", "units"):
        pd.testing.assert_frame_equal(getattr(before, frame), getattr(after, frame))
    assert all_tables(before) == all_tables(after)
    texts = read_frames(out).samples[["prompt", "response", "answer"]]
    assert set(texts.to_numpy().ravel()) == {""}


def test_to_the_same_bytes_each_time(run: Path, tmp_path: Path) -> None:
    for name in "ab":
        pack_run(run, tmp_path / name)
    files = sorted(
        p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file()
    )
    assert any(path.suffix == ".gz" for path in files)
    for path in files:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()


def test_overlap_and_clusters_are_kept(maker: RunMaker, tmp_path: Path) -> None:
    folder = maker.add(maker.METHODS[1], 0)
    rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    for number, row in enumerate(rows):
        row["overlap"] = ("exact", "near", None, "not sought")[number % 4]
        row["cluster"] = f'told, "{number % 5}"\n twice'
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = maker.finish()
    pack_run(run, tmp_path / "packed")
    pd.testing.assert_frame_equal(read_run(run).samples, read_run(tmp_path / "packed").samples)


def test_a_tuned_run_keeps_its_trials_results(maker: RunMaker, tmp_path: Path) -> None:
    for method in maker.METHODS[1:3]:
        maker.add(method, 0)
        maker.tune(method, {1e-3: 0.7, 2e-3: 0.5, 4e-3: None}, 2e-3)
    run = maker.finish()
    pack_run(run, tmp_path / "packed")
    assert all_tables(read_run(run)) == all_tables(read_run(tmp_path / "packed"))


def test_what_is_not_finished_or_in_the_way_is_refused(maker: RunMaker, tmp_path: Path) -> None:
    maker.add(maker.METHODS[1], 0)
    maker.plan(maker.cell(maker.METHODS[1], 1))
    run = maker.finish()
    with pytest.raises(UserError, match=r"1 of 2 cells have no result: tiny--fft--arith--seed1"):
        pack_run(run, tmp_path / "packed")
    assert not (tmp_path / "packed").exists()
    with pytest.raises(UserError, match="not an empty folder"):
        pack_run(run, run)


def test_a_folder_that_cannot_be_made_is_named(run: Path) -> None:
    with pytest.raises(UserError, match=r"suite.json.packed cannot be made: Not a directory"):
        pack_run(run, run / "suite.json" / "packed")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("benchmark,id", "benchmark,name", r"correctness.csv:1: expected the columns benchmark"),
        ("\nmulti-step,multi-step-0,,not sought,", "\nmulti-step,", r":2: expected \d+ columns"),
        (",not sought,0", ",not sought,yes", r":\d+: column .*: expected 0, 1 or nothing"),
        (",not sought,0", ",often,0", r":2: overlap: expected exact, near, none, not sought"),
    ],
)
def test_a_damaged_table_is_named_by_its_line(
    run: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    pack_run(run, tmp_path / "packed")
    path = tmp_path / "packed" / "correctness.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=message):
        read_frames(tmp_path / "packed")
    warnings = " ".join(read_run(tmp_path / "packed").warnings)
    assert "could not be read" in warnings


def test_torn_rows_cost_their_cell_alone(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "packed"
    pack_run(run, out)
    path = out / "cells" / "tiny--fft--arith--seed0" / "steps.jsonl.gz"
    digest = inputs_digest(out)
    path.write_bytes(path.read_bytes()[:-20])
    assert inputs_digest(out) != digest
    records = read_run(out)
    assert [cell.id for cell in records.cells if cell.status == "unreadable"] == [path.parent.name]
    assert "not a whole gzip file" in " ".join(records.warnings)
    path.write_bytes(gzip.compress(b"no row\n"))
    assert "steps.jsonl:1: not a StepRow" in " ".join(read_run(out).warnings)
