"""From a response in words to the answer that is judged: named rules and named comparisons.

A benchmark's definition names one of each. Pure functions; a rule returns None where the response
has no answer, which is always wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Extraction = Callable[[str], str | None]
Comparison = Callable[[str, str], bool]

NUMERIC_TOLERANCE = 1e-3
RESPONSE_MARK = "### Response:"
"""Under LLM-Adapters' rules a response ends where a model writes this itself."""


def last_number(response: str) -> str | None:
    """The last number, commas deleted first: the rule of the LLM-Adapters protocol.

    (arXiv 2304.01933; AGI-Edgerunners/LLM-Adapters, evaluate.py.) Kept as published, with its
    surprises: "3/4" gives 4, "10-4" gives -4, and a new question after the answer changes it.
    """
    numbers = re.findall(r"-?\d+\.?\d*", _first_response(response).replace(",", ""))
    return numbers[-1] if numbers else None


def answer_is(response: str) -> str | None:
    """The number in the last "answer is <number>"; None if the response never says so.

    A fraction is no number: of "3/4" neither part is the answer.
    """
    answers = re.findall(
        r"answer is:?\s*\$?\s*(-?\d+(?:\.\d+)?)(?!\d|\.\d|\s*/\s*\d)",
        response.replace(",", ""),
        flags=re.IGNORECASE,
    )
    return answers[-1] if answers else None


def first_letter(response: str) -> str | None:
    """The first capital A to E anywhere: the rule of the LLM-Adapters protocol for AQuA.

    Kept as published. It is biased towards the letters that begin sentences: "A train leaves ..."
    gives A, "Because ..." B, "Each ..." E.
    """
    found = re.search(r"[A-E]", _first_response(response))
    return found.group() if found else None


def answer_is_letter(response: str) -> str | None:
    """The letter A to E in the last "answer is <letter>", alone or in brackets."""
    answers = re.findall(r"(?i:answer is):?\s*\(?([A-E])\b", response)
    return answers[-1] if answers else None


def answer_is_label(response: str) -> str | None:
    """The label in the last "answer is <label>": true, false, or answer3, ending2 and so on."""
    answers = re.findall(
        r"(?i:answer is):?\s*(true|false|(?:answer|ending|option|solution)\d+)\b", response
    )
    return answers[-1] if answers else None


def _first(*labels: str) -> Extraction:
    """The first of the labels anywhere: the rule of the LLM-Adapters protocol for commonsense.

    Kept as published: no word boundary is asked for, so "answer10" gives answer1.
    """

    def first_label(response: str) -> str | None:
        found = re.search("|".join(labels), _first_response(response))
        return found.group() if found else None

    return first_label


def _first_response(text: str) -> str:
    return text.partition(RESPONSE_MARK)[0].strip()


def is_number(text: str) -> bool:
    """Whether `numeric_match` can read it."""
    try:
        _number(text)
    except ValueError:
        return False
    return True


def numeric_match(prediction: str, answer: str) -> bool:
    """Equal as numbers, to `NUMERIC_TOLERANCE`."""
    return abs(_number(prediction) - _number(answer)) <= NUMERIC_TOLERANCE


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def exact_match(prediction: str, answer: str) -> bool:
    """Equal as text."""
    return prediction == answer


EXTRACTIONS: dict[str, Extraction] = {
    "last-number": last_number,
    "answer-is": answer_is,
    "first-letter": first_letter,
    "answer-is-letter": answer_is_letter,
    "answer-is-label": answer_is_label,
    "first-true-false": _first("true", "false"),
    "first-solution": _first("solution1", "solution2"),
    "first-answer": _first("answer1", "answer2", "answer3", "answer4", "answer5"),
    "first-ending": _first("ending1", "ending2", "ending3", "ending4"),
    "first-option": _first("option1", "option2"),
}

NUMERIC_EXTRACTIONS = ("last-number", "answer-is")
"""Rules whose predictions are numbers."""

COMPARISONS: dict[str, Comparison] = {"numeric_match": numeric_match, "exact_match": exact_match}
