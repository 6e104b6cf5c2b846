from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from lwft_bench.data import sources
from lwft_bench.data.digests import benchmarks_digest, data_digest
from lwft_bench.data.examples import Example, Item
from lwft_bench.data.generators import GENERATOR_FILES
from lwft_bench.data.items import load_items
from lwft_bench.data.sources import load_examples
from lwft_bench.schema.cell import TaskConfig
from lwft_bench.schema.errors import UserError

ARITH = Path(sources.__file__).parent / "tasks" / "arith.yaml"


def arith(**changes: Any) -> TaskConfig:
    task = TaskConfig.model_validate(yaml.safe_load(ARITH.read_text("utf-8")))
    return task.model_copy(update=changes)


def write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def own_task(folder: Path, **changes: Any) -> TaskConfig:
    """A task on files of one's own: ten examples, and a benchmark of three items."""
    rows = [{"prompt": f"Q: {n}?", "target": f" {n}"} for n in range(10)]
    write_lines(folder / "train.jsonl", rows)
    write_lines(folder / "validation.jsonl", rows[:4])
    write_lines(folder / "items.jsonl", [{"q": f"Q: {n}?", "a": f"{n}"} for n in range(3)])
    definition = {
        "name": "own",
        "version": "1",
        "title": "Own",
        "description": "Own",
        "source": {
            "name": "jsonl",
            "path": "items.jsonl",
            "prompt_field": "q",
            "answer_field": "a",
        },
        "licence": "none",
        "kind": "generate",
        "metric": "numeric_match",
        "extraction": "last-number",
        "max_new_tokens": 8,
        "num_items": 3,
        "contamination": "none",
    }
    (folder / "own.yaml").write_text(yaml.safe_dump(definition), "utf-8")
    options = {
        "train": str(folder / "train.jsonl"),
        "validation": str(folder / "validation.jsonl"),
    }
    task = TaskConfig(
        name="own",
        data="jsonl",
        data_options=options,
        train_examples=10,
        validation_examples=4,
        benchmarks=(str(folder / "own.yaml"),),
    )
    return task.model_copy(update=changes)


def test_the_shipped_task_loads() -> None:
    task = arith(train_examples=50, items_per_benchmark=5)
    data = load_examples(task)
    assert (len(data.train), len(data.validation)) == (50, 64)
    assert len(task.benchmarks) == 6
    for name in task.benchmarks:
        items = load_items(task, name)
        assert len(items) == 5
        assert all(item.id.startswith(name) for item in items)


def test_the_generated_tasks_are_not_each_other() -> None:
    task = TaskConfig.model_validate(
        yaml.safe_load((ARITH.parent / "commonsense.yaml").read_text("utf-8"))
    )
    data = load_examples(task)
    assert (len(data.train), len(data.validation)) == (4000, 64)
    assert not {example.prompt for example in data.train} & {
        example.prompt for example in load_examples(arith()).train
    }
    assert all(len(load_items(task, name)) == 100 for name in task.benchmarks)
    assert data_digest(task) != data_digest(task.model_copy(update={"data_options": {"seed": 1}}))


def test_generated_data_is_a_function_of_its_own_seed() -> None:
    assert load_examples(arith()) == load_examples(arith())
    assert load_examples(arith()).train != load_examples(arith(data_options={"seed": 1})).train


def test_all_items_by_default() -> None:
    assert len(load_items(arith(items_per_benchmark=None), "add-sub")) == 100


def test_own_files(tmp_path: Path) -> None:
    task = own_task(tmp_path)
    data = load_examples(task)
    assert data.train[3] == Example("Q: 3?", " 3")
    assert len(data.validation) == 4
    assert load_items(task, task.benchmarks[0])[1] == Item("own-2", "Q: 1?", "1")


def test_fewer_examples_than_the_file_has_are_drawn_by_the_data_seed(tmp_path: Path) -> None:
    def targets(seed: int) -> list[int]:
        task = own_task(tmp_path, train_examples=4)
        task = task.model_copy(update={"data_options": {**task.data_options, "seed": seed}})
        return [int(example.target) for example in load_examples(task).train]

    assert len(set(targets(0))) == 4
    assert targets(0) == sorted(targets(0)) != [0, 1, 2, 3]
    assert len({tuple(targets(seed)) for seed in range(5)}) > 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": "generated-aritmetic"}, "unknown data source 'generated-aritmetic'; did you"),
        (
            {"data_options": {"trane": "x"}},
            r"data_options\.trane: unknown option.*did you mean 'train'",
        ),
        ({"data_options": {"train": "gone.jsonl"}, "validation_examples": 0}, "gone.jsonl"),
        ({"train_examples": 11}, "has 10 examples, train_examples asks for 11"),
        ({"data_options": {"train": "x"}}, "names no file"),
    ],
)
def test_what_is_wrong_with_a_task_is_said(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        load_examples(own_task(tmp_path, **changes))


def test_what_is_wrong_with_items_is_said(tmp_path: Path) -> None:
    task = own_task(tmp_path, items_per_benchmark=5)
    with pytest.raises(UserError, match="has 3 items, the task asks for 5 of own"):
        load_items(task, task.benchmarks[0])
    write_lines(tmp_path / "items.jsonl", [{"q": "Q", "a": "two"}])
    with pytest.raises(UserError, match=r"items.jsonl:1: a: expected a number, found \"two\""):
        load_items(task, task.benchmarks[0])


def test_choices_contain_the_answer(tmp_path: Path) -> None:
    task = own_task(tmp_path)
    definition = yaml.safe_load((tmp_path / "own.yaml").read_text("utf-8"))
    definition["source"]["choices_field"] = "c"
    definition |= {"kind": "multiple_choice", "metric": "acc", "num_items": 1}
    del definition["extraction"], definition["max_new_tokens"]
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(definition), "utf-8")
    write_lines(tmp_path / "items.jsonl", [{"q": "Q", "a": " b", "c": [" a", " b"]}])
    assert load_items(task, task.benchmarks[0]) == [Item("own-1", "Q", " b", (" a", " b"))]
    write_lines(tmp_path / "items.jsonl", [{"q": "Q", "a": "b", "c": [" a", " b"]}])
    with pytest.raises(UserError, match=r"items.jsonl:1: a: expected one of the choices"):
        load_items(task, task.benchmarks[0])


def test_the_digest_changes_with_what_the_data_depends_on(tmp_path: Path) -> None:
    def digest(**changes: Any) -> str:
        return data_digest(own_task(tmp_path, **changes))

    first = digest()
    assert digest() == digest(name="renamed") == first
    assert digest(train_examples=9) != first
    items = benchmarks_digest(own_task(tmp_path))
    assert digest(benchmarks=("add-sub",)) == first
    assert benchmarks_digest(own_task(tmp_path, benchmarks=("add-sub",))) != items
    dropping = digest(drop_test_questions="exact")
    assert dropping not in (first, digest(drop_test_questions="near"))
    for file in ("train.jsonl", "validation.jsonl", "items.jsonl", "own.yaml"):
        task = own_task(tmp_path)
        text = (tmp_path / file).read_text("utf-8")
        (tmp_path / file).write_text(text.replace("1", "7"), "utf-8")
        is_item = file in ("items.jsonl", "own.yaml")
        assert (benchmarks_digest(task) != items) == is_item, file
        assert (data_digest(task) != first) == (not is_item), file
        dropped = task.model_copy(update={"drop_test_questions": "exact"})
        assert data_digest(dropped) != dropping, "which the items are part of"


@pytest.mark.parametrize("kind", ["arithmetic", "commonsense"])
def test_the_digest_covers_the_generator_and_imports_no_torch(kind: str) -> None:
    """Every module of the package's data folder that the generator loads is in the digest."""
    script = (
        "import sys\n"
        "from lwft_bench.data.digests import data_digest\n"
        "before = set(sys.modules)\n"
        f"import lwft_bench.data.{kind}\n"
        "loaded = {m for m in set(sys.modules) - before | {'lwft_bench.data.examples'} "
        "if m.startswith('lwft_bench')}\n"
        "print(sorted(m.rpartition('.')[2] + '.py' for m in loaded))\n"
        "print(sorted({'torch', 'transformers', 'datasets', 'lm_eval'} & set(sys.modules)))\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert output.splitlines() == [str(sorted(GENERATOR_FILES[f"generated-{kind}"])), "[]"]


def test_two_benchmarks_of_one_name_are_refused(tmp_path: Path) -> None:
    task = own_task(tmp_path)
    with pytest.raises(UserError, match="two benchmarks named own"):
        benchmarks_digest(task.model_copy(update={"benchmarks": task.benchmarks * 2}))


def test_permuted_targets_are_those_of_other_examples() -> None:
    task = arith(train_examples=200, validation_examples=8)
    own, others = (
        load_examples(task),
        load_examples(task.model_copy(update={"permute_targets": True})),
    )
    assert [one.prompt for one in others.train] == [one.prompt for one in own.train]
    assert sorted(one.target for one in others.train) == sorted(one.target for one in own.train)
    same = sum(a.target == b.target for a, b in zip(own.train, others.train, strict=True))
    assert same < 20, "equal answers of different questions alone"
    assert others.validation == own.validation
    assert load_examples(task.model_copy(update={"permute_targets": True})) == others
    assert data_digest(task) != data_digest(task.model_copy(update={"permute_targets": True}))
