"""Instruction data as a task's training set and benchmarks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lwft_bench.data.digests import benchmarks_digest, data_digest
from lwft_bench.data.items import load_items
from lwft_bench.data.sources import load_examples
from lwft_bench.schema.cell import TaskConfig
from lwft_bench.schema.errors import UserError
from lwft_bench.suites.loading import load_suite


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows), "utf-8")
    return str(path)


def row(n: int, **more: Any) -> dict[str, Any]:
    return {
        "instruction": f"Tom has {n} pens.",
        "input": "",
        "output": f"The answer is {n}.",
    } | more


def task(folder: Path, **changes: Any) -> TaskConfig:
    train = write(folder / "train.json", [row(n) for n in range(20)])
    write(folder / "dataset/AddSub/test.json", [row(n, answer=f"{n}.0") for n in range(395)])
    fields: dict[str, Any] = {
        "name": "own",
        "data": "instructions",
        "data_options": {"train": train},
        "train_examples": 12,
        "validation_examples": 5,
        "benchmarks": ("addsub",),
        "items_per_benchmark": 10,
        "data_dir": str(folder),
    }
    return TaskConfig(**(fields | changes))


def test_training_and_validation_share_no_row(tmp_path: Path) -> None:
    data = load_examples(task(tmp_path))
    assert (len(data.train), len(data.validation)) == (12, 5)
    assert not {one.prompt for one in data.train} & {one.prompt for one in data.validation}


def test_columns_and_forms(tmp_path: Path) -> None:
    rows = [{"question": f"Q{n}", "solution": f"A{n}"} for n in range(20)]
    train = write(tmp_path / "own.json", rows)
    columns = {"instruction": "question", "output": "solution"}
    options = {"train": train, "columns": columns}
    found = load_examples(task(tmp_path, data_options=options)).train[0]
    assert (found.question, found.target) == ("Q0", "A0")
    with pytest.raises(
        UserError, match=r"own.json:1: row 1: no field 'query'; there are 'question'"
    ):
        wrong = {"train": train, "columns": columns | {"instruction": "query"}}
        load_examples(task(tmp_path, data_options=wrong))
    with pytest.raises(UserError, match="unknown form 'alpacca'; did you mean 'alpaca'"):
        load_examples(task(tmp_path, data_options={"train": train, "form": "alpacca"}))


def test_a_chat_template_takes_the_place_of_the_profile_s(tmp_path: Path) -> None:
    plain, chat = task(tmp_path), task(tmp_path, chat_template=True)
    assert load_examples(chat).train[0].prompt == "Tom has 0 pens."
    assert load_items(chat, "addsub")[0].prompt.startswith("Tom has ")
    assert [one.question for one in load_examples(chat).train] == [
        one.question for one in load_examples(plain).train
    ]
    assert data_digest(plain) != data_digest(chat)
    with pytest.raises(ValueError, match="chat_template goes with profile clean only"):
        task(tmp_path, chat_template=True, profile="published")


def test_items_are_a_draw_that_is_the_same_for_all(tmp_path: Path) -> None:
    items = load_items(task(tmp_path), "addsub")
    assert items == load_items(task(tmp_path), "addsub")
    assert len(items) == 10
    numbers = [int(item.id.removeprefix("addsub-")) for item in items]
    assert numbers == sorted(numbers) != list(range(1, 11))
    assert all(
        float(item.answer) == number - 1 for item, number in zip(items, numbers, strict=True)
    )
    published = load_items(task(tmp_path, profile="published"), "addsub")
    assert [item.id for item in published] == [item.id for item in items]
    assert published[0].prompt != items[0].prompt


def test_test_questions_are_dropped(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="after dropping test questions, has 0 examples"):
        load_examples(task(tmp_path, drop_test_questions="exact"))
    rows = [row(n) for n in range(390, 410)]
    train = write(tmp_path / "late.json", rows)
    kept = task(
        tmp_path, data_options={"train": train}, drop_test_questions="exact", validation_examples=0
    )
    questions = {one.question for one in load_examples(kept).train}
    assert questions <= {f"Tom has {n} pens." for n in range(395, 410)}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(1, answer="1")], "has 1 items, and addsub .*395"),
        ([row(1, answer="one")], r"test.json:1: answer: expected a number, found \"one\""),
        ([row(1)], r"test.json:1: answer: expected a text"),
    ],
)
def test_what_is_wrong_with_a_test_file(
    tmp_path: Path, rows: list[dict[str, Any]], message: str
) -> None:
    own = task(tmp_path)
    write(tmp_path / "dataset/AddSub/test.json", rows)
    with pytest.raises(UserError, match=message):
        load_items(own, "addsub")


def test_the_digest_knows_the_data_and_the_profile(tmp_path: Path) -> None:
    first = data_digest(task(tmp_path))
    assert data_digest(task(tmp_path, profile="published")) != first
    assert data_digest(task(tmp_path, drop_test_questions="near")) != first
    own = task(tmp_path)
    items = benchmarks_digest(own)
    write(tmp_path / "dataset/AddSub/test.json", [row(n, answer="7") for n in range(395)])
    assert data_digest(own) == first
    assert benchmarks_digest(own) != items


def suite_file(folder: Path, **changes: Any) -> str:
    own = task(folder, **changes).model_dump(mode="json")
    suite = {
        "name": "own",
        "models": ["embedded"],
        "methods": ["base", "fft"],
        "tasks": [own],
        "seeds": [0],
        "training": {"steps": 1},
    }
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(suite), "utf-8")
    return str(path)


def test_a_file_of_a_suite_is_found_under_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LWFT_BENCH_DATA", raising=False)
    write(tmp_path / "data/dataset/set/train.json", [row(n) for n in range(20)])
    write(tmp_path / "data/dataset/AddSub/test.json", [row(n, answer="1") for n in range(395)])
    options = {"train": "set/train.json"}
    (cell, _) = load_suite(suite_file(tmp_path, data_options=options, data_dir="data")).cells
    assert cell.task.data_dir == str(tmp_path / "data")
    assert cell.task.data_options["train"] == str(tmp_path / "data/dataset/set/train.json")
    with pytest.raises(UserError, match=r"own.yaml:\d+: .*train: no such file"):
        load_suite(suite_file(tmp_path, data_options={"train": "gone.json"}, data_dir="data"))
    with pytest.raises(UserError, match=r"own.yaml:\d+: .*benchmarks\[0\]: no AQuA/test.json"):
        load_suite(suite_file(tmp_path, benchmarks=("aqua",)))
    with pytest.raises(UserError, match=r"benchmarks\[0\]: AddSub/test.json is on no hub"):
        load_suite(suite_file(tmp_path, data_dir=None))


def test_a_bad_row_is_said_before_anything_runs(tmp_path: Path) -> None:
    path = suite_file(tmp_path)
    suite = load_suite(path)
    (tmp_path / "train.json").write_text('[{"instruction": "Q"}]', "utf-8")
    with pytest.raises(UserError, match=r"train.json:1: no field 'output'"):
        suite.identity(suite.cells[0])
