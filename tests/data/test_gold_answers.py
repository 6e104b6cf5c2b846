"""Items that no answer could be right for, or that say two things, are told by file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lwft_bench.data.benchmarks import load_benchmark
from lwft_bench.data.extraction import COMPARISONS, EXTRACTIONS, rule
from lwft_bench.data.gold_answers import expected_answer
from lwft_bench.data.items import load_items
from lwft_bench.schema.cell import TaskConfig
from lwft_bench.schema.errors import UserError

WORDS = dict.fromkeys(("version", "title", "description", "licence", "contamination"), "own")
GENERATED = {
    "kind": "generate",
    "metric": "exact_match",
    "extraction": "whole-response",
    "max_new_tokens": 8,
    "stop": ["\n"],
}
CHOSEN = {"kind": "multiple_choice", "metric": "acc"}
LINES = {"name": "jsonl", "path": "items.jsonl"}
CHOICES = LINES | {"choices_field": "choices"}


def write(folder: Path, row: dict[str, Any], **definition: Any) -> TaskConfig:
    whole = {"name": "own", "source": LINES, "num_items": 1} | WORDS | definition
    (folder / "own.yaml").write_text(yaml.safe_dump(whole), "utf-8")
    (folder / "items.jsonl").write_text(json.dumps({"prompt": "Q"} | row), "utf-8")
    own = str(folder / "own.yaml")
    return TaskConfig(name="t", data="generated-arithmetic", train_examples=1, benchmarks=(own,))


def items(task: TaskConfig) -> list[Any]:
    return load_items(task, task.benchmarks[0])


@pytest.mark.parametrize(
    ("answer", "extraction", "message"),
    [
        ("Paris ", "whole-response", "it finds 'Paris' in this"),
        ("", "whole-response", "an answer that is not empty"),
        ("two\nlines", "whole-response", r"without '\\n', which ends a response"),
        ("b", "answer-is-letter", "it finds nothing in this"),
        ("F", "answer-is-letter", "it finds nothing in this"),
        ("(B)", "answer-is-letter", "it finds 'B' in this"),
        ("Answer 1", "answer-is-label", "it finds nothing in this"),
        ("True", "answer-is-label", "it finds nothing in this"),
        ("1,200", "answer-is", "it finds '1200' in this"),
        ("answer10", "first-answer", "it finds 'answer1' in this"),
    ],
)
def test_a_gold_answer_that_no_response_can_have_is_refused(
    tmp_path: Path, answer: str, extraction: str, message: str
) -> None:
    task = write(tmp_path, {"answer": answer}, **(GENERATED | {"extraction": extraction}))
    with pytest.raises(UserError, match=rf"items.jsonl:1: answer: expected .*{message}"):
        items(task)


@pytest.mark.parametrize(
    ("answer", "extraction"),
    [
        ("New York", "whole-response"),
        ("B", "answer-is-letter"),
        ("true", "answer-is-label"),
        ("ending2", "first-ending"),
        ("7.0", "answer-is"),
        ("-3", "last-number"),
    ],
)
def test_what_is_taken_is_right_when_it_is_answered(
    tmp_path: Path, answer: str, extraction: str
) -> None:
    definition = GENERATED | {"extraction": extraction}
    (item,) = items(write(tmp_path, {"answer": answer}, **definition))
    assert item.answer == answer
    agree, extract = COMPARISONS["exact_match"], rule(extraction)
    predictions = map(extract, (answer, f"The answer is {answer}."))
    assert any(found is not None and agree(found, answer) for found in predictions)


def test_profile_published_asks_its_own_rule(tmp_path: Path) -> None:
    published = {"extraction": "first-letter", "max_new_tokens": 8}
    task = write(tmp_path, {"answer": "Z"}, **(GENERATED | {"published": published}))
    assert items(task)
    with pytest.raises(UserError, match="rule first-letter finds one"):
        items(task.model_copy(update={"profile": "published"}))


@pytest.mark.parametrize("name", EXTRACTIONS)
def test_every_rule_can_find_something(tmp_path: Path, name: str) -> None:
    """Else the rule could not be used with exact_match at all."""
    write(tmp_path, {"answer": "x"}, **(GENERATED | {"extraction": name}))
    benchmark = load_benchmark(str(tmp_path / "own.yaml"))
    answers = ("7", "C", "answer1", "true", "solution1", "ending1", "option1")
    assert not all(expected_answer(benchmark, answer) for answer in answers)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"choices": ["2", "1"], "answer": 1},
            "answer: expected one of the choices, as it is written",
        ),
        ({"choices": ["yes", "no"], "answer": "B"}, "answer: expected one of the choices"),
        (
            {"choices": ["a", "b", "a"], "answer": "a"},
            "answer: expected a choice that is there once",
        ),
        ({"choices": ["a"], "answer": "a"}, "choices: expected at least two choices"),
    ],
)
def test_an_answer_that_may_be_a_place_or_stands_twice_is_refused(
    tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=f"items.jsonl:1: {message}"):
        items(write(tmp_path, row, **CHOSEN, source=CHOICES))


@pytest.mark.parametrize(
    "row",
    [
        {"choices": [2, 1], "answer": 1},
        {"choices": [2, 1], "answer": "1"},
        {"choices": ["a", "b", "b"], "answer": "a"},
    ],
)
def test_a_choice_that_is_told_apart_is_taken(tmp_path: Path, row: dict[str, Any]) -> None:
    (item,) = items(write(tmp_path, row, **CHOSEN, source=CHOICES))
    assert item.choices.index(item.answer) == row["choices"].index(
        type(row["choices"][0])(item.answer)
    )


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        (CHOSEN, "`source.choices_field` is for multiple_choice, and needed there"),
        (GENERATED | {"source": CHOICES}, "`source.choices_field` is for multiple_choice"),
        (
            CHOSEN | {"source": {"name": "instructions", "file": "a/test.json"}},
            "items of source instructions are answered by generation",
        ),
        (GENERATED | {"name": "average"}, "'average' is what tables call the mean"),
        (GENERATED | {"name": ""}, "name: expected a text like"),
        (GENERATED | {"name": "a|b"}, "name: expected a text like"),
        (GENERATED | {"num_items": 2}, r"has 1 items, and own 2"),
    ],
)
def test_a_definition_that_cannot_be_asked_is_refused(
    tmp_path: Path, definition: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        items(write(tmp_path, {"answer": "7", "choices": ["7", "8"]}, **definition))


def test_generated_items_of_another_kind_are_refused(tmp_path: Path) -> None:
    source = {"name": "generated-arithmetic", "benchmark": "algebra-choice"}
    with pytest.raises(UserError, match="its source makes items of kind multiple_choice"):
        items(write(tmp_path, {}, **(GENERATED | {"source": source})))


@pytest.mark.parametrize("answer", ["1,5", "1,2,3", "1200,50", "1,20", ",5", "1,200,5"])
def test_a_comma_that_parts_no_thousands_is_no_number(tmp_path: Path, answer: str) -> None:
    """It was passed over: 1,5 was 15."""
    task = write(tmp_path, {"answer": answer}, **(GENERATED | {"metric": "numeric_match"}))
    with pytest.raises(UserError, match=r"items.jsonl:1: answer: expected a number"):
        items(task)
    assert not COMPARISONS["numeric_match"](answer, answer.replace(",", ""))


@pytest.mark.parametrize("answer", ["1,200", "12,34,000.50", "-1,000,000", "5,", "1,200e2"])
def test_commas_between_thousands_are_read(answer: str) -> None:
    assert COMPARISONS["numeric_match"](answer, answer.replace(",", ""))
