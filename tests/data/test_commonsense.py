"""The generated commonsense task."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import islice

import pytest

from lwft_bench.data import commonsense
from lwft_bench.data.commonsense import BENCHMARKS, TEST_SEED, benchmark_items
from lwft_bench.data.commonsense_templates import TEST, TRAINING, Wording
from lwft_bench.data.examples import Example, Item
from lwft_bench.data.lexicon import CONTAINERS, PEOPLE, THINGS
from lwft_bench.models.loading import load_tokenizer
from lwft_bench.schema.cell import ModelConfig
from tools.embedded_model.corpus import documents

SEED = 5
CAST = {*PEOPLE, *THINGS, *(singular for singular, _ in CONTAINERS)}
NUM_CHOICES = {"yes-or-no": 2, "who-has-more": 2, "what-fits": 3, "how-it-ends": 4}


@pytest.fixture(scope="module")
def training() -> list[Example]:
    return commonsense.training_examples(3000, SEED)


@pytest.fixture(scope="module")
def validation() -> list[Example]:
    return commonsense.validation_examples(500, SEED)


@pytest.fixture(scope="module")
def items() -> dict[str, list[Item]]:
    return {benchmark: benchmark_items(benchmark, 150, SEED) for benchmark in BENCHMARKS}


def words(text: str) -> list[str]:
    return re.findall(r"[A-Za-z]+", text)


def cast(prompt: str) -> frozenset[str]:
    return frozenset(word for word in words(prompt) if word in CAST)


def shape(text: str) -> str:
    """The text without its cast: what is left of a wording whoever plays in it."""
    return re.sub(r"[A-Za-z]+", lambda word: "_" if word[0] in CAST else word[0], text)


def shapes(wordings: dict[str, tuple[Wording, ...]]) -> set[str]:
    texts = (text for group in wordings.values() for text, *_ in group)
    return {re.sub(r"\{\w\}", "_", text) for text in texts}


def test_same_seed_gives_the_same_and_another_seed_others() -> None:
    assert commonsense.training_examples(50, 1) == commonsense.training_examples(50, 1)
    assert commonsense.training_examples(50, 1) != commonsense.training_examples(50, 2)
    assert commonsense.training_examples(60, 1)[:20] == commonsense.training_examples(20, 1)
    assert benchmark_items("who-has-more", 20, 1) != benchmark_items("who-has-more", 20, 2)
    assert benchmark_items("who-has-more", 20) == benchmark_items("who-has-more", 20, TEST_SEED)


def test_other_processes_draw_the_same() -> None:
    code = (
        "from lwft_bench.data import commonsense as c;"
        "print([c.training_examples(40, 3), [c.benchmark_items(b, 10, 3) for b in c.BENCHMARKS]])"
    )
    here = [
        commonsense.training_examples(40, 3),
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
    assert set(TRAINING) == set(TEST) == set(NUM_CHOICES) == set(BENCHMARKS)
    assert not shapes(TRAINING) & shapes(TEST)
    prompts = {shape(example.prompt) for example in training}
    assert len(prompts) > 30
    assert not prompts & {shape(item.prompt) for drawn in items.values() for item in drawn}


def test_splits_share_no_cast(
    training: list[Example], validation: list[Example], items: dict[str, list[Item]]
) -> None:
    seen = [
        {cast(example.prompt) for example in training},
        {cast(example.prompt) for example in validation},
        {cast(item.prompt) for drawn in items.values() for item in drawn},
    ]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]


def test_the_embedded_model_knows_every_word(
    training: list[Example], items: dict[str, list[Item]]
) -> None:
    tokenizer = load_tokenizer(ModelConfig(name="embedded", path="embedded"))
    texts = [example.prompt + example.target for example in training]
    texts += [
        item.prompt + choice
        for drawn in items.values()
        for item in drawn
        for choice in item.choices
    ]
    for text in texts:
        assert not re.search(r"\d", text)
        pieces = tokenizer.convert_ids_to_tokens(tokenizer(text).input_ids)
        assert [re.sub(r"\W|Ġ|Ċ", "", piece) for piece in pieces if words(piece)] == words(text)


def test_items_are_distinct_with_one_right_choice(items: dict[str, list[Item]]) -> None:
    drawn = [item for group in items.values() for item in group]
    assert len({item.prompt for item in drawn}) == len({item.id for item in drawn}) == len(drawn)
    for benchmark, group in items.items():
        for item in group:
            assert len(set(item.choices)) == NUM_CHOICES[benchmark] == len(item.choices)
            assert item.answer in item.choices
            if benchmark != "what-fits":  # which asks for a kind of word, not for one that was said
                assert all(cast(choice) <= cast(item.prompt) for choice in item.choices)


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_no_place_is_the_answer_too_often(benchmark: str, items: dict[str, list[Item]]) -> None:
    """Neither the order of the choices nor the order of the names in the question tells."""
    expected = len(items[benchmark]) / NUM_CHOICES[benchmark]
    places = [[item.choices.index(item.answer) for item in items[benchmark]]]
    if benchmark == "who-has-more":
        places.append([_place_in_prompt(item) for item in items[benchmark]])
    for found in places:
        for place in range(NUM_CHOICES[benchmark]):
            assert 0.5 * expected <= found.count(place) <= 1.6 * expected


def _place_in_prompt(item: Item) -> int:
    ends = [choice.split()[-1] for choice in item.choices]
    named = sorted(ends, key=words(item.prompt).index)
    return named.index(item.answer.split()[-1])


def test_no_verb_of_an_event_is_in_both_splits() -> None:
    """`gives` in training and `gave` too; `sells` and `sold` only in the test."""
    events = ("finds found buys bought gives gave loses lost", "picks got takes sold breaks broke")
    for here, wordings, there in ((0, TRAINING, 1), (1, TEST, 0)):
        said = {
            word
            for name in ("yes-or-no", "who-has-more", "how-it-ends")
            for text, *_ in wordings[name]
            for word in words(text)
        }
        assert set(events[here].split()) <= said
        assert not set(events[there].split()) & said


def test_yes_and_no_are_as_frequent_in_both_splits() -> None:
    for wordings in (TRAINING, TEST):
        answers = [answer for _, answer, _ in wordings["yes-or-no"]]
        assert answers.count("Yes") == answers.count("No")


def test_the_pretraining_text_holds_nothing_of_the_task() -> None:
    text = shape("\n".join(islice(documents(seed=1), 20_000)))
    assert "What then?" not in text
    for question in shapes(TRAINING) | shapes(TEST):
        assert question not in text or question.count(" ") < 4
