"""The generated arithmetic task."""

from __future__ import annotations

import re
import subprocess
import sys
from fractions import Fraction
from itertools import islice

import pytest

from lwft_bench.data import arithmetic
from lwft_bench.data.arithmetic import BENCHMARKS, MULTIPLE_CHOICE, TEST_SEED, benchmark_items
from lwft_bench.data.arithmetic_templates import TEST, TRAINING
from lwft_bench.data.examples import Example, Item
from tools.embedded_model.corpus import documents

SEED = 5
ANSWER = re.compile(r"The answer is (\d+)$")
SLOT = re.compile(r"\\\{(\w+)\\\}")


@pytest.fixture(scope="module")
def training() -> list[Example]:
    return arithmetic.training_examples(3000, SEED)


@pytest.fixture(scope="module")
def validation() -> list[Example]:
    return arithmetic.validation_examples(500, SEED)


@pytest.fixture(scope="module")
def items() -> dict[str, list[Item]]:
    return {benchmark: benchmark_items(benchmark, 150, SEED) for benchmark in BENCHMARKS}


def pattern(text: str) -> re.Pattern[str]:
    """Matches `text` with its slots filled; a slot that comes again must be filled the same."""
    seen: set[str] = set()

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if name in seen:
            return f"(?P={name})"
        seen.add(name)
        return rf"(?P<{name}>\d+)" if name in "xyzw" else rf"(?P<{name}>[A-Za-z]+)"

    return re.compile(SLOT.sub(fill, re.escape(text)))


def numbers(prompt: str) -> tuple[int, ...]:
    return tuple(sorted(int(number) for number in re.findall(r"\d+", prompt)))


def matching_wordings(prompt: str, wordings: dict[str, tuple[tuple[str, str], ...]]) -> list[str]:
    """The answers that follow from each wording the prompt is an instance of, worked out anew."""
    answers = []
    for text, chain in (wording for group in wordings.values() for wording in group):
        if match := pattern(f"Question: {text}\nAnswer:").fullmatch(prompt):
            values = {name: Fraction(match[name]) for name in "xyzw" if f"{{{name}}}" in text}
            for name, step in zip("pqr", chain.split(";"), strict=False):
                values[name] = result = eval(step, {}, values)
            answers.append(str(result))
    return answers


def test_the_six_benchmarks_have_wordings_in_both_splits() -> None:
    assert len(BENCHMARKS) == 6
    assert set(TEST) == set(TRAINING) == set(BENCHMARKS)


def test_same_seed_gives_the_same_and_another_seed_others() -> None:
    assert arithmetic.training_examples(50, 1) == arithmetic.training_examples(50, 1)
    assert arithmetic.training_examples(50, 1) != arithmetic.training_examples(50, 2)
    assert benchmark_items("add-sub", 20, 1) != benchmark_items("add-sub", 20, 2)
    assert benchmark_items("add-sub", 20) == benchmark_items("add-sub", 20, TEST_SEED)


def test_a_longer_list_begins_with_the_shorter() -> None:
    assert arithmetic.training_examples(60, 1)[:20] == arithmetic.training_examples(20, 1)
    assert benchmark_items("multi-step", 60, 1)[:20] == benchmark_items("multi-step", 20, 1)


def test_other_processes_draw_the_same() -> None:
    code = (
        "from lwft_bench.data import arithmetic as a;"
        "print([a.training_examples(40, 3), [a.benchmark_items(b, 10, 3) for b in a.BENCHMARKS]])"
    )
    here = [
        arithmetic.training_examples(40, 3),
        [benchmark_items(benchmark, 10, 3) for benchmark in BENCHMARKS],
    ]
    for hash_seed in ("1", "2"):
        drawn = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert drawn.stdout.strip() == str(here)


def test_splits_share_no_wording(training: list[Example], items: dict[str, list[Item]]) -> None:
    texts = {
        split: {text for group in wordings.values() for text, _ in group}
        for split, wordings in (("training", TRAINING), ("test", TEST))
    }
    assert not texts["training"] & texts["test"]
    assert not any(matching_wordings(example.prompt, TEST) for example in training)
    for item in (item for drawn in items.values() for item in drawn):
        assert not matching_wordings(item.prompt, TRAINING)


def test_splits_share_no_numbers(
    training: list[Example], validation: list[Example], items: dict[str, list[Item]]
) -> None:
    seen = {
        "training": {numbers(example.prompt) for example in training},
        "validation": {numbers(example.prompt) for example in validation},
        "test": {numbers(item.prompt) for drawn in items.values() for item in drawn},
    }
    assert not seen["training"] & seen["test"]
    assert not seen["training"] & seen["validation"]
    assert not seen["validation"] & seen["test"]


def test_targets_are_true_equations_on_the_numbers_of_the_prompt(training: list[Example]) -> None:
    for example in training:
        known = {int(number) for number in re.findall(r"\d+", example.prompt)}
        equations = re.findall(r" (\d+) ([-+*/]) (\d+) = (\d+)\.", example.target)
        rebuilt = "".join(" {} {} {} = {}.".format(*equation) for equation in equations)
        assert example.target == f"{rebuilt} The answer is {equations[-1][3]}"
        for left, operation, right, result in equations:
            assert {int(left), int(right)} <= known
            assert eval(f"Fraction({left}) {operation} {right}") == int(result)
            assert 1 <= int(result) <= 99
            known.add(int(result))


def test_training_answers_follow_from_the_wording(training: list[Example]) -> None:
    for example in training:
        assert set(matching_wordings(example.prompt, TRAINING)) == {
            ANSWER.search(example.target)[1]
        }


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_gold_answers_follow_from_the_wording(benchmark: str, items: dict[str, list[Item]]) -> None:
    for item in items[benchmark]:
        gold = ANSWER.search(item.answer)[1] if benchmark == MULTIPLE_CHOICE else item.answer
        assert set(matching_wordings(item.prompt, TEST)) == {gold}


def test_items_are_distinct_and_identified(items: dict[str, list[Item]]) -> None:
    drawn = [item for group in items.values() for item in group]
    assert len({item.prompt for item in drawn}) == len({item.id for item in drawn}) == len(drawn)


def test_only_the_algebra_benchmark_has_choices(items: dict[str, list[Item]]) -> None:
    assert {name for name, drawn in items.items() if drawn[0].choices} == {MULTIPLE_CHOICE}


def test_one_choice_is_right_and_all_are_sound_arithmetic(items: dict[str, list[Item]]) -> None:
    for item in items[MULTIPLE_CHOICE]:
        assert len(set(item.choices)) == len(item.choices) == 5
        assert item.choices.count(item.answer) == 1
        results = [ANSWER.search(choice)[1] for choice in item.choices]
        assert results.count(ANSWER.search(item.answer)[1]) == 1
        for choice in item.choices:
            assert choice.startswith(" ")
            for left, operation, right, result in re.findall(
                r"(\d+) ([-+*/]) (\d+) = (\d+)", choice
            ):
                assert eval(f"Fraction({left}) {operation} {right}") == int(result)


def test_the_place_of_the_right_choice_tells_nothing(items: dict[str, list[Item]]) -> None:
    places = [item.choices.index(item.answer) for item in items[MULTIPLE_CHOICE]]
    assert all(15 <= places.count(place) <= 50 for place in range(5))


def test_the_pretraining_text_holds_nothing_of_the_task() -> None:
    text = "\n".join(islice(documents(seed=1), 20_000))
    assert not re.search(r"Question:|Answer:|The answer is \d|\?\s+\d", text)
    for wordings in (TRAINING, TEST):
        for question, _ in (wording for group in wordings.values() for wording in group):
            assert not pattern(question).search(text)
