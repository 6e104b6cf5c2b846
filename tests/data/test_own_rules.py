"""Extraction rules of a benchmark's own, and gold answers that are no numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lwft_bench.data.benchmarks import load_benchmark
from lwft_bench.data.digests import benchmarks_digest
from lwft_bench.data.extraction import numeric_match, rule
from lwft_bench.data.items import load_items
from lwft_bench.evaluation.lm_eval_tasks import lm_eval_task
from lwft_bench.schema.cell import TaskConfig
from lwft_bench.schema.errors import UserError

DEFINITION = {
    "name": "own",
    "version": "1",
    "title": "own",
    "description": "own",
    "source": {"name": "jsonl", "path": "items.jsonl"},
    "licence": "own",
    "kind": "generate",
    "metric": "numeric_match",
    "extraction": "regex",
    "pattern": r"Result:\s*(\S+)",
    "max_new_tokens": 8,
    "num_items": 1,
    "contamination": "none",
}


def write(folder: Path, answer: Any = "7", **changes: Any) -> TaskConfig:
    definition = {key: value for key, value in (DEFINITION | changes).items() if value is not None}
    (folder / "own.yaml").write_text(yaml.safe_dump(definition), "utf-8")
    (folder / "items.jsonl").write_text(json.dumps({"prompt": "Q", "answer": answer}), "utf-8")
    return TaskConfig(
        name="t", data="generated-arithmetic", train_examples=1, benchmarks=(f"{folder}/own.yaml",)
    )


def judged(task: TaskConfig, response: str) -> tuple[str | None, bool]:
    """As lm-eval judges it."""
    (name,) = task.benchmarks
    benchmark = load_benchmark(name)
    items = load_items(task, name)
    evaluated = lm_eval_task(benchmark, items, benchmark.max_new_tokens)
    (chain,) = evaluated._filters
    document = {"answer": items[0].answer}
    (prediction,) = chain.filters[0]().apply([[response]], [document])
    return prediction, bool(evaluated.process_results(document, [prediction])["numeric_match"])


def test_a_pattern_s_last_match_is_the_prediction(tmp_path: Path) -> None:
    task = write(tmp_path)
    assert judged(task, "Result: 3, no. Result: 7\n") == ("7", True)
    assert judged(task, "Result: seven") == ("seven", False)
    assert judged(task, "The answer is 7") == (None, False)
    assert judged(write(tmp_path, pattern=r"\d+"), "3 or 7") == ("7", True)
    whole = write(tmp_path, extraction="whole-response", pattern=None)
    assert judged(whole, " 7.0\n") == ("7.0", True)
    assert judged(whole, "it is 7") == ("it is 7", False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pattern": "(7"}, r"own.yaml:\d+: pattern: no regular expression: missing \)"),
        ({"pattern": None}, "`pattern` is for the extraction rule regex, and needed there"),
        ({"extraction": "answer-is"}, "`pattern` is for the extraction rule regex"),
        (
            {"extraction": "regx", "pattern": None},
            "unknown extraction rule 'regx'; did you mean 're",
        ),
    ],
)
def test_a_rule_that_is_none_is_told(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    (name,) = write(tmp_path, **changes).benchmarks
    with pytest.raises(UserError, match=message):
        load_benchmark(name)


def test_a_pattern_belongs_to_the_items_identity_and_none_does_not(tmp_path: Path) -> None:
    first = benchmarks_digest(write(tmp_path))
    assert benchmarks_digest(write(tmp_path, pattern=r"\d+")) != first


@pytest.mark.parametrize(
    "answer", ["nan", "inf", "-Infinity", "1_000", "seven", "1/2", "", "1e999"]
)
def test_gold_answers_that_are_no_numbers_are_refused(tmp_path: Path, answer: str) -> None:
    task = write(tmp_path, answer)
    with pytest.raises(UserError, match=r"items.jsonl:1: answer: expected a number, found \""):
        load_items(task, task.benchmarks[0])


@pytest.mark.parametrize("answer", [7, 7.5, "1,000", "-3", "1e3", ".5"])
def test_gold_answers_may_be_written_as_numbers(tmp_path: Path, answer: Any) -> None:
    task = write(tmp_path, answer)
    (item,) = load_items(task, task.benchmarks[0])
    assert numeric_match(item.answer, str(answer))


def test_what_is_no_number_equals_none() -> None:
    for text in ("seven", "", "9" * 5000, "nan"):
        assert not numeric_match(text, "7")
        assert not numeric_match(text, text)
    assert rule("last-number")("\N{ARABIC-INDIC DIGIT SEVEN}") is not None
