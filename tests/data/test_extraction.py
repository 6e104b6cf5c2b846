from __future__ import annotations

import pytest

from lwft_bench.data.benchmarks import load_benchmark
from lwft_bench.data.extraction import (
    COMPARISONS,
    EXTRACTIONS,
    NUMERIC_EXTRACTIONS,
    is_number,
    numeric_match,
)
from lwft_bench.schema.cell import Profile

CASES: dict[str, list[tuple[str, str | None]]] = {
    "last-number": [
        ("The answer is 42", "42"),
        ("The answer is 42.", "42."),
        ("It costs $5.", "5."),
        ("3.50 dollars", "3.50"),
        ("1,234,567 people", "1234567"),
        ("minus -7", "-7"),
        ("10-4", "-4"),
        ("3/4", "4"),
        ("answer10", "10"),
        ("50%", "50"),
        ("6e3", "3"),
        ("The answer is 42. Question: Tom has 7 pens", "7"),
        ("A train leaves at noon", None),
        ("It is 5 ### Response: 9", "5"),
        ("", None),
    ],
    "answer-is": [
        (" 3 + 4 = 7. The answer is 7", "7"),
        ("The answer is 7.", "7"),
        ("The answer is 7.5.", "7.5"),
        ("the final Answer is: $1,234 for 2", "1234"),
        ("The answer is -7", "-7"),
        ("The answer is 3. No, the answer is 4. Tom has 9 pens", "4"),
        ("answer10", None),
        ("3 + 4 = 7", None),
        ("The answer is seven", None),
        ("The answer is 3/4", None),
        ("The answer is 12 / 4.", None),
        ("", None),
        # read whole
        ("The answer is 1e3.", "1e3"),
        ("The answer is 2.5e-3 m", "2.5e-3"),
        ("The answer is 1 200", "1200"),
        ("The answer is 5\N{NARROW NO-BREAK SPACE}000\N{NO-BREAK SPACE}000.", "5000000"),
        ("The answer is 12,34,000", "1234000"),
        ("The answer is 10 million", "10000000"),
        ("The answer is 1.5 thousand people", "1500"),
        ("The answer is 2.5k", "2500"),
        ("The answer is 3 + 4 = 7.", "7"),
        ("The answer is x = 7.", "7"),
        ("The answer is 7 = 3 + 4", "7"),
        ("The answer is $3 \\times 4 = 12$", "12"),
        ("The answer is **3** + **4** = **7**", "7"),
        # in markup, with signs and currencies as they are written
        ("The answer is **7**.", "7"),
        ("**The answer is:** 7", "7"),
        ("So $\\boxed{7}$.", "7"),
        ("The answer is $\\boxed{-1{,}200}$", "-1200"),
        ("The answer is \\(12\\)", "12"),
        ("The answer is -$5", "-5"),
        ("The answer is $-5", "-5"),
        ("The answer is US$5", "5"),
        ("The answer is .5", "0.5"),
        ("The answer is -.5", "-0.5"),
        ("The answer is \N{MINUS SIGN}5", "-5"),
        ("The answer is \N{EN DASH}5", "-5"),
        # no single number
        ("The answer is 5 1/2", None),
        ("The answer is 5\N{VULGAR FRACTION ONE HALF}", None),
        ("The answer is \\frac{3}{4}", None),
        ("The answer is 2^3", None),
        ("The answer is 5**2", None),
        ("The answer is 2\N{SUPERSCRIPT THREE}", None),
        ("The answer is 3 × 10^4", None),
        ("The answer is 3 + 4", None),
        ("The answer is 10-4", None),
        ("The answer is 7:30", None),
        ("The answer is 3.4.5", None),
        ("The answer is 1,2", None),
        ("The answer is 7. No, the answer is 3/4", None),
        # what only looks as if the number went on
        ("The answer is 7. I hope this answer is helpful", "7"),
        ("The answer is 7\n- 5 apples are left", "7"),
        ("The answer is 7 - he had 3 before", "7"),
        ("The answer is 7 x-rays", "7"),
        ("The answer is 5. 3 of them are red", "5"),
        ("The answer is 5, 3 of them red", "5"),
        ("The answer is 50%", "50"),
    ],
    "whole-response": [(" 7 \n", "7"), ("yes, it is", "yes, it is"), (" \n", None), ("", None)],
    "first-letter": [
        ("The answer is B", "B"),
        ("A train leaves. The answer is C", "A"),
        ("Because of this, D", "B"),
        ("answer10", None),
        ("the answer is b", None),
        ("", None),
    ],
    "answer-is-letter": [
        ("A train leaves. The answer is C", "C"),
        ("The answer is (D).", "D"),
        ("The answer is: B", "B"),
        ("The answer is A. No, the answer is E", "E"),
        ("The answer is Eve", None),
        ("The answer is b", None),
        ("The answer is **(C)**", "C"),
        ("Therefore $\\boxed{\\text{B}}$", "B"),
        ("The answer is option D", "D"),
        ("C", None),
        ("", None),
    ],
    "answer-is-label": [
        ("the correct answer is answer3", "answer3"),
        ("The answer is: true.", "true"),
        ("the correct answer is answer1. No, the correct answer is answer2", "answer2"),
        ("the correct answer is answer10", "answer10"),
        ("the correct answer is **true**", "true"),
        ("the correct answer is `option2`", "option2"),
        ("solution1", None),
        ("", None),
    ],
    "first-true-false": [("untrue or false", "true"), ("the correct answer is false", "false")],
    "first-solution": [("the correct answer is solution2", "solution2"), ("Solution1", None)],
    "first-answer": [
        ("the correct answer is answer3", "answer3"),
        ("answer10", "answer1"),
        ("not answer1 but answer2", "answer1"),
        ("### Response: answer2", None),
        ("the answer is 3", None),
    ],
    "first-ending": [("ending4 ending1", "ending4"), ("ending5", None)],
    "first-option": [("the correct answer is option2", "option2"), ("", None)],
}

PROFILES = [
    # response, answer, right under published, right under clean
    ("gsm8k", "He has 1,200 in all. The answer is 1,200.", "1200.0", True, True),
    ("gsm8k", "The answer is -4", "-4", True, True),
    ("gsm8k", "10-4", "-4", True, False),
    ("gsm8k", "The answer is 3/4", "4", True, False),
    ("gsm8k", "The answer is 3/4", "0.75", False, False),
    ("gsm8k", "There is none", "0", False, False),
    ("gsm8k", "answer10", "10", True, False),
    ("gsm8k", "The answer is 7. Tom has 9 pens", "7", False, True),
    ("gsm8k", "The answer is 7.\n### Response:\n9", "7", True, True),
    ("aqua", "A train needs 3 hours. The answer is (C).", "C", False, True),
    ("aqua", "A train needs 3 hours. The answer is (C).", "A", True, False),
    ("aqua", "C", "C", True, False),
    ("obqa", "the correct answer is answer2", "answer2", True, True),
    ("obqa", "answer10", "answer1", True, False),
    ("obqa", "not answer1: the correct answer is answer2", "answer2", False, True),
    ("boolq", "It is untrue. The correct answer is false", "false", False, True),
]


@pytest.mark.parametrize(("name", "response", "answer", "published", "clean"), PROFILES)
def test_profiles_read_responses_differently(
    name: str, response: str, answer: str, published: bool, clean: bool
) -> None:
    def right(profile: Profile) -> bool:
        benchmark = load_benchmark(name).under(profile)
        assert benchmark.extraction is not None
        text = response
        for stop in benchmark.stop:
            text = text.partition(stop)[0]
        prediction = EXTRACTIONS[benchmark.extraction](text)
        return prediction is not None and COMPARISONS[benchmark.metric](prediction, answer)

    assert (right("published"), right("clean")) == (published, clean)


@pytest.mark.parametrize(
    ("rule", "response", "prediction"),
    [(rule, *case) for rule, cases in CASES.items() for case in cases],
)
def test_rules(rule: str, response: str, prediction: str | None) -> None:
    assert EXTRACTIONS[rule](response) == prediction


def test_every_rule_has_cases() -> None:
    assert CASES.keys() == EXTRACTIONS.keys()


@pytest.mark.parametrize("rule", NUMERIC_EXTRACTIONS)
def test_numeric_rules_give_numbers(rule: str) -> None:
    predictions = [prediction for _, prediction in CASES[rule] if prediction is not None]
    assert all(is_number(prediction) for prediction in predictions)


@pytest.mark.parametrize(
    ("prediction", "answer", "equal"),
    [
        ("5.", "5", True),
        ("5.0", "5", True),
        ("5.0009", "5", True),
        ("5.0011", "5", False),
        ("-5", "5", False),
        ("1234", "1,234.0", True),
        ("007", "7", True),
    ],
)
def test_numbers_are_compared_as_numbers(prediction: str, answer: str, equal: bool) -> None:
    assert numeric_match(prediction, answer) is equal


def test_texts_are_compared_as_texts() -> None:
    assert COMPARISONS["exact_match"]("B", "B")
    assert not COMPARISONS["exact_match"]("5.0", "5")
