"""Columns are what rows read one by one give: the same values, and the same words for what is wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from lwft_bench.results.columns import samples_at, typed_columns
from lwft_bench.results.rows import typed_rows
from lwft_bench.results.store import RunStore
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.rows import Row, SampleRow, StepRow

PATH = Path("cells/a/rows.jsonl")


def sample(**values: object) -> str:
    return json.dumps({"benchmark": "b", "id": "1", "correct": True} | values)


def step(**values: object) -> str:
    return json.dumps({"step": 0, "lr": 0.1, "tokens": 9, "target_tokens": 4, "period": 0} | values)


def same(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and one == other


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        (SampleRow, []),
        (SampleRow, [sample(), sample(id="2", cluster="c", overlap=None, prediction="3")]),
        (SampleRow, [sample(prompt="line\nbreak, {x},\n{y}"), sample(response="größer 3e999")]),
        (SampleRow, [" " + sample(), sample() + " "]),
        (SampleRow, [sample(correct="true"), sample(correct=1)]),
        (SampleRow, ['{"benchmark": "b", "id": "1", "id": "2", "correct": true}']),
        (StepRow, [step(), step(loss=None, validation_loss=None), step(loss=2, lr=1)]),
        (StepRow, [step(needed=[1, 2, 3, 4]), step(flops=2**60), step(validation_loss=0.5)]),
    ],
)
def test_columns_have_the_values_of_rows(kind: type[Row], lines: list[str]) -> None:
    rows, columns = typed_rows(kind, PATH, lines), typed_columns(kind, PATH, lines)
    assert columns.keys() == kind.model_fields.keys()
    for name, values in columns.items():
        expected = [getattr(row, name) for row in rows]
        assert len(values) == len(expected)
        assert all(map(same, values, expected)), name


@pytest.mark.parametrize("line", [sample(), " " + sample()])
def test_what_is_left_out_is_validated_all_the_same(line: str) -> None:
    assert typed_columns(
        SampleRow, PATH, [line], ("id",)
    ).keys() == SampleRow.model_fields.keys() - {"id"}
    with pytest.raises(UserError, match="rows.jsonl:2: not a SampleRow: id: "):
        typed_columns(SampleRow, PATH, [line, sample(id=2)], ("id",))


@pytest.mark.parametrize(
    "lines",
    [
        [sample(), ""],
        [sample(), "{"],
        [sample(), sample(id=1)],
        [sample(), sample(other=1)],
        [sample(), '{"id": "1", "correct": true}'],
        [sample(), sample(overlap="far")],
        [f"{sample()},{sample()}"],
        [sample()[:-1] + ",", '"cluster": "c"}'],
        # As many objects as lines, but not one a line.
        [f"{sample()},{sample()}", '{"benchmark": "b"', '"id": "2", "correct": true}'],
        [f"{sample()},{sample()}", '{"benchmark": "b"', '{"id": "2", "correct": true}'],
        [f"{sample()},{sample()}", '{"benchmark": "x}', '{y", "id": "2", "correct": true}'],
        [f"{sample()}],[{sample()}", sample()],
        [f"{sample()},", sample()],
        [sample(response="3e999")[:-1] + ', "id": "2"}'],
        ['{"benchmark": "b", "id": "1", "correct": 1e999}'],
        ["[]"],
        ["{}"],
    ],
)
def test_what_is_wrong_is_told_alike(lines: list[str]) -> None:
    with pytest.raises(UserError) as one_by_one:
        typed_rows(SampleRow, PATH, lines)
    with pytest.raises(UserError) as at_once:
        typed_columns(SampleRow, PATH, lines)
    assert str(at_once.value) == str(one_by_one.value)


@pytest.mark.parametrize("lines", [[step(), step(lr=1)[:-1] + ', "loss": 1e999}'], [step(), "NaN"]])
def test_wrong_numbers_are_told_alike(lines: list[str]) -> None:
    with pytest.raises(UserError) as one_by_one:
        typed_rows(StepRow, PATH, lines)
    with pytest.raises(UserError) as at_once:
        typed_columns(StepRow, PATH, lines)
    assert str(at_once.value) == str(one_by_one.value)


def test_samples_at_places(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    folder = store.cell_folder("a")
    folder.mkdir(parents=True)
    (folder / "samples.jsonl").write_text("".join(sample(id=str(n)) + "\n" for n in range(4)))
    rows = store.samples("a")
    assert samples_at(store, "a", [3, 1]) == {
        name: [getattr(rows[place], name) for place in (3, 1)] for name in SampleRow.model_fields
    }
    assert not any(samples_at(store, "a", []).values())
    with pytest.raises(UserError, match=r"samples\.jsonl: expected 5 items or more, found 4"):
        samples_at(store, "a", [4])
    with (folder / "samples.jsonl").open("a") as file:
        file.write(sample(id=4) + "\n")
    with pytest.raises(UserError, match=r"samples\.jsonl:5: not a SampleRow: id: "):
        samples_at(store, "a", [0, 4])
