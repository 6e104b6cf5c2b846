from __future__ import annotations

import pytest

from lwft_bench.evaluation.extraction import (
    COMPARISONS,
    EXTRACTIONS,
    NUMERIC_EXTRACTIONS,
    is_number,
    numeric_match,
)

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
        ("", None),
    ],
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
        ("C", None),
        ("", None),
    ],
}


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
