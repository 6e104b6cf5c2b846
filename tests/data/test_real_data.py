"""The real files, where LWFT_BENCH_DATA names a folder that holds them. Nothing of them is here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lwft_bench.data.benchmarks import load_benchmark
from lwft_bench.data.forms import FORMS, Instruction
from lwft_bench.data.items import load_items
from lwft_bench.data.locations import DATA_DIR, data_folder, find_file
from lwft_bench.data.overlap import asked, find_overlap
from lwft_bench.data.row_files import read_rows
from lwft_bench.data.sources import load_examples
from lwft_bench.schema.cell import TaskConfig

pytestmark = pytest.mark.skipif(
    not os.environ.get(DATA_DIR), reason=f"{DATA_DIR} names no folder with the real files"
)

COUNTS = {
    "multiarith": 600,
    "gsm8k": 1319,
    "addsub": 395,
    "aqua": 254,
    "singleeq": 508,
    "svamp": 1000,
    "boolq": 3270,
    "piqa": 1838,
    "siqa": 1954,
    "hellaswag": 10042,
    "winogrande": 1267,
    "arc-easy": 2376,
    "arc-challenge": 1172,
    "obqa": 500,
}
IN_MAWPS = {"multiarith": 452, "addsub": 327, "singleeq": 416, "svamp": 0, "gsm8k": 0, "aqua": 0}


def training(file: str, form: str) -> TaskConfig:
    return TaskConfig(
        name="real",
        data="instructions",
        data_options={"train": str(existing(file)), "form": form},
        train_examples=1800,
        validation_examples=98,
        benchmarks=(),
    )


def existing(file: str) -> Path:
    found = find_file(data_folder(None), file)
    if found is None:
        pytest.skip(f"{file} is not there")
    return found


@pytest.mark.parametrize("benchmark", COUNTS)
def test_counts(benchmark: str) -> None:
    task = TaskConfig(name="real", data="instructions", train_examples=1, benchmarks=(benchmark,))
    items = load_items(task, benchmark)
    assert len(items) == COUNTS[benchmark] == load_benchmark(benchmark).num_items
    assert len({item.id for item in items}) == len(items)


def test_questions_of_mawps_training_set() -> None:
    task = training("mawps/trainset.json", "mawps")
    data = load_examples(task)
    questions = [asked(example) for example in (*data.train, *data.validation)]
    assert len(questions) == 1898
    found = {
        name: find_overlap(questions, [asked(item) for item in load_items(task, name)])
        for name in IN_MAWPS
    }
    assert {name: one.count("exact") for name, one in found.items()} == IN_MAWPS


def test_gsm8k_training_set_shares_no_question_with_a_test_set() -> None:
    task = training("gsm8k/train.jsonl", "gsm8k").model_copy(update={"train_examples": 7375})
    data = load_examples(task)
    questions = [asked(example) for example in (*data.train, *data.validation)]
    assert len(questions) == 7473
    for name in IN_MAWPS:
        found = find_overlap(questions, [asked(item) for item in load_items(task, name)])
        assert found.count("exact") == 0, name


@pytest.mark.parametrize(
    ("form", "adapted", "original", "share"),
    [
        ("boolq", "boolq/test.json", "boolq/validation/data-00000-of-00001.arrow", 1.0),
        ("piqa", "piqa/test.json", "piqa/validation/data-00000-of-00001.arrow", 1.0),
        (
            "winogrande",
            "winogrande/test.json",
            "winogrande/validation/data-00000-of-00001.arrow",
            1,
        ),
        # The others differ in spaces.
        (
            "social_i_qa",
            "social_i_qa/test.json",
            "social_i_qa/validation/data-00000-of-00001.arrow",
            0.99,
        ),
        ("svamp", "SVAMP/test.json", "svamp/SVAMP.json", 1.0),
        ("aqua", "AQuA/test.json", "aqua/test.json", 0.96),
    ],
)
def test_forms_give_the_published_instructions(
    form: str, adapted: str, original: str, share: float
) -> None:
    def pairs(file: str, form: str) -> set[tuple[str, str | None]]:
        rows: list[Instruction] = read_rows(existing(file), FORMS[form])
        return {(row.instruction, row.answer) for row in rows}

    published = pairs(adapted, "alpaca")
    assert len(published & pairs(original, form)) >= share * len(published)
