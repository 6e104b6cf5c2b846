"""lm-eval's own gsm8k metric and this harness's rules, over the same generations."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lm_eval.tasks
import pytest
import yaml
from datasets import Dataset
from lm_eval.api.task import ConfigurableTask

from lwft_bench.data.benchmarks import load_benchmark
from lwft_bench.data.examples import Item
from lwft_bench.data.forms import FORMS
from lwft_bench.data.json_lines import Row
from lwft_bench.data.locations import DATA_DIR, data_folder, find_file
from lwft_bench.evaluation.lm_eval_tasks import lm_eval_task
from lwft_bench.schema.cell import Profile

Outcome = tuple[bool, bool, bool, bool]
"""Right under lm-eval's flexible-extract and strict-match, our last-number and answer-is."""

YES, NO = True, False

SAME_RULE: list[tuple[str, str, Outcome]] = [
    # Generation, answer. The last number decides: flexible-extract and last-number.
    ("6 * 7 = 42. The answer is 42.", "42", (YES, NO, YES, YES)),
    ("6 * 7 = 42\n#### 42", "42", (YES, YES, YES, NO)),
    ("6 * 7 = 42. The answer is 42.\n#### 42", "42", (YES, YES, YES, YES)),
    ("That makes 1,200 in all. The answer is 1,200.", "1200", (YES, NO, YES, YES)),
    ("That makes 1,234,567.\n#### 1,234,567", "1234567", (YES, YES, YES, NO)),
    ("She earns $18 every day. The answer is $18.", "18", (YES, NO, YES, YES)),
    ("She has -7 left. The answer is -7.", "-7", (YES, NO, YES, YES)),
    ("The answer is 7.5.", "7.5", (YES, NO, YES, YES)),
    ("It is 50% of them.\n#### 50", "50", (YES, YES, YES, NO)),
    ("He walks 3 and then 4 miles, 7 in all", "7", (YES, NO, YES, NO)),
    ("The answer is 7. Tom has 9 pens", "7", (NO, NO, NO, YES)),
    ("#### 7\n\nQ: Tom has 9 pens", "7", (NO, YES, NO, NO)),
    ("10-4", "-4", (YES, NO, YES, NO)),
    ("The answer is 3/4", "4", (YES, NO, YES, NO)),
    ("answer10", "10", (YES, NO, YES, NO)),
    ("I do not know", "0", (NO, NO, NO, NO)),
    ("", "0", (NO, NO, NO, NO)),
    ("The answer is 41.", "42", (NO, NO, NO, NO)),
    ("They are 3,4", "34", (YES, NO, YES, NO)),
]

OTHER_RULE: dict[str, tuple[str, str, Outcome]] = {
    "a number as text or by its value": ("The answer is 7.0", "7", (NO, NO, YES, YES)),
    "dots after the last number": ("The answer is 7...", "7", (NO, NO, YES, YES)),
    "dots apart from it": ("The answer is 7 ...", "7", (NO, NO, YES, YES)),
    "the sign before the dollar": ("He loses -$5", "-5", (YES, NO, NO, NO)),
    "no digit before the point": ("It weighs .5", "0.5", (NO, NO, NO, NO)),
    "no digit before the point, as ours reads it": ("It weighs .5", "5", (NO, NO, YES, NO)),
    "a dollar between two numbers": ("4$7", "7", (NO, NO, YES, NO)),
    "a new instruction of its own": ("It is 5\n### Response:\n9", "5", (NO, NO, YES, NO)),
}


def lm_eval_gsm8k(documents: Sequence[dict[str, str]]) -> ConfigurableTask:
    """lm-eval's definition as it is installed, with other documents and no shots."""
    path = Path(lm_eval.tasks.__file__).parent / "gsm8k" / "gsm8k.yaml"
    config = yaml.safe_load(path.read_text("utf-8"))
    for key in ("dataset_path", "dataset_name", "training_split", "fewshot_split"):
        del config[key]
    rows = Dataset.from_list(list(documents))
    return ConfigurableTask(
        config=config | {"custom_dataset": lambda **_: {"test": rows}, "num_fewshot": 0}
    )


def judged(task: ConfigurableTask, generations: Sequence[str]) -> dict[str, list[bool]]:
    """Filter -> whether each document's generation is right."""
    task.build_all_requests(limit=None, rank=0, world_size=1)
    for instance, generation in zip(task.instances, generations, strict=True):
        instance.resps = [generation]
    task.apply_filters()
    outcomes: dict[str, list[bool]] = {}
    for instance in task.instances:
        for name, response in instance.filtered_resps.items():
            metrics: dict[str, Any] = task.process_results(instance.doc, [response])
            (value,) = metrics.values()
            outcomes.setdefault(name, []).append(bool(value))
    return outcomes


def outcomes_of(generations: Sequence[str], answers: Sequence[str]) -> list[Outcome]:
    theirs = judged(
        lm_eval_gsm8k([{"question": "?", "answer": f"so\n#### {answer}"} for answer in answers]),
        generations,
    )
    ours: dict[str, list[bool]] = {}
    profiles: tuple[Profile, ...] = ("published", "clean")
    for profile in profiles:
        benchmark = load_benchmark("gsm8k").under(profile)
        items = [Item(str(index), "?", answer) for index, answer in enumerate(answers)]
        ours |= judged(lm_eval_task(benchmark, items, 8), generations)
    return list(
        zip(
            theirs["flexible-extract"],
            theirs["strict-match"],
            ours["last-number"],
            ours["answer-is"],
            strict=True,
        )
    )


def test_the_same_rule_has_the_same_outcome() -> None:
    generations, answers, expected = zip(*SAME_RULE, strict=True)
    found = outcomes_of(generations, answers)
    assert dict(zip(generations, found, strict=True)) == dict(
        zip(generations, expected, strict=True)
    )
    assert all(flexible == last for flexible, _, last, _ in found)


def test_strict_match_is_answer_is_in_other_words() -> None:
    """One looks behind "####", the other behind "answer is"; what stands there is read alike."""
    numbers = ["42", "42.", "1,200", "-7", "0.5", "41", "none"]
    answers = ["42", "42", "1200", "-7", "0.5", "42", "42"]
    marked = outcomes_of([f"so\n#### {number}" for number in numbers], answers)
    said = outcomes_of([f"so\nThe answer is {number}" for number in numbers], answers)
    assert [strict for _, strict, _, _ in marked] == [clean for *_, clean in said]


@pytest.mark.parametrize("why", OTHER_RULE)
def test_where_the_rules_differ(why: str) -> None:
    """The table in docs/benchmarks.md."""
    generation, answer, expected = OTHER_RULE[why]
    assert outcomes_of([generation], [answer]) == [expected]


def test_dollars_after_the_mark() -> None:
    """strict-match takes no dollar sign there, answer-is does."""
    (marked,) = outcomes_of(["#### $18"], ["18"])
    (said,) = outcomes_of(["The answer is $18"], ["18"])
    assert (marked[1], said[3]) == (False, True)


@pytest.mark.skipif(not os.environ.get(DATA_DIR), reason=f"{DATA_DIR} names no folder")
def test_the_real_solutions_are_right_under_all_rules() -> None:
    """Every solution of GSM8K's test set, as its form writes it and with its own last line."""
    path = find_file(data_folder(None), "gsm8k/test.jsonl")
    if path is None:
        pytest.skip("gsm8k/test.jsonl is not there")
    rows = [Row(path, 0, json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    found = [FORMS["gsm8k"](row) for row in rows]
    generations = [f"{one.output}\n#### {one.answer}" for one in found]
    answers = [one.answer or "" for one in found]
    assert len(found) == 1319
    assert set(outcomes_of(generations, answers)) == {(True, True, True, True)}
    wrong = [f"{int(answer) + 1}" for answer in answers]
    assert set(outcomes_of(generations, wrong)) == {(False, False, False, False)}
