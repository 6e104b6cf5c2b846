"""Reading run directories in every state."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lwft_bench.reporting.read.records import read_run
from lwft_bench.schema.errors import UserError

if TYPE_CHECKING:
    from conftest import RunMaker


def test_every_row_of_every_file_is_read(run: Path) -> None:
    records = read_run(run)
    cell = "tiny--grass--arith--seed1--temperature=1.0"
    folder = run / "cells" / cell
    samples = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    own = records.samples[records.samples["cell"] == cell]
    assert own["correct"].tolist() == [row["correct"] for row in samples]
    assert own["id"].tolist() == [row["id"] for row in samples]
    steps = [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]
    assert records.steps[records.steps["cell"] == cell]["loss"].tolist() == [
        row["loss"] for row in steps
    ]
    header, *periods = [
        json.loads(line) for line in (folder / "selections.jsonl").read_text().splitlines()
    ]
    selections = records.selections[records.selections["cell"] == cell]
    assert selections["units"].tolist() == [row["units"] for row in periods]
    assert len(records.units[records.units["cell"] == cell]) == len(header["units"])
    assert len(records.results) == len(list((run / "cells").iterdir()))


def test_labels_carry_the_ablated_option(run: Path) -> None:
    labels = {cell.label for cell in read_run(run).cells}
    assert {"fft", "grass (temperature=0.1)", "grass (temperature=1.0)"} <= labels


def test_cells_without_a_result_have_a_status(maker: RunMaker) -> None:
    method = maker.method("fft", 0.5)
    maker.add(method, 0)
    maker.fail(method, 1, "diverged", "loss is NaN")
    waiting, running = maker.cell(method, 2), maker.cell(method, 3)
    maker.plan(waiting)
    maker.plan(running)
    (maker.folder / "work" / running.id).mkdir(parents=True)
    records = read_run(maker.finish())
    assert [cell.status for cell in records.cells] == ["done", "diverged", "not run", "unfinished"]
    assert records.cells[1].error == "loss is NaN"


def test_another_schema_version_is_not_merged_but_shown(maker: RunMaker) -> None:
    method = maker.method("fft", 0.5)
    maker.add(method, 0)
    folder = maker.add(method, 1)
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps(result | {"schema_version": 99}))
    records = read_run(maker.finish())
    assert [cell.status for cell in records.cells] == ["done", "unreadable"]
    assert set(records.samples["cell"]) == {records.cells[0].id}
    assert any("99" in warning for warning in records.warnings)


def test_stale_and_added_cells_are_pointed_out(maker: RunMaker) -> None:
    method = maker.method("fft", 0.5)
    maker.add(method, 0, identity="0" * 64)
    maker.add(method, 1)
    extra = maker.planned.pop()
    warnings = " ".join(read_run(maker.finish()).warnings)
    assert "Stale" in warnings
    assert maker.planned[0].id in warnings
    assert f"not part of the suite as last run: {extra.id}" in warnings


def test_a_folder_without_a_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run directory"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("samples.jsonl", b'{"benchmark": 1}\n'),
        ("steps.jsonl", b"\x00\n"),
        ("selections.jsonl", b"\xff"),
        ("result.json", b"{"),
        ("config.json", None),
    ],
)
def test_a_damaged_file_costs_its_cell_alone(
    maker: RunMaker, file: str, content: bytes | None
) -> None:
    method = maker.method("fft", 0.5)
    broken, sound = maker.add(method, 0), maker.add(method, 1)
    run = maker.finish()
    if content is None:
        (broken / file).unlink()
    else:
        (broken / file).write_bytes(content)
    records = read_run(run)
    assert {cell.id: cell.status for cell in records.cells} == {
        broken.name: "unreadable",
        sound.name: "done",
    }
    (warning,) = (text for text in records.warnings if "could not be read" in text)
    assert broken.name in warning and file in warning
    assert set(records.samples["cell"]) == {sound.name}


def test_samples_without_texts_are_read(maker: RunMaker) -> None:
    """A run can be handed on without the questions of benchmarks that are not free."""
    folder = maker.add(maker.method("fft", 0.5), 0)
    keys = ("benchmark", "id", "correct")
    rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    short = [{key: row[key] for key in keys} | {"cluster": "one"} for row in rows]
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in short))
    samples = read_run(maker.finish()).samples
    assert len(samples) == len(rows)
    assert set(samples["cluster"]) == {"one"}
