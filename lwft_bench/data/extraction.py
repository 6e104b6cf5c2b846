"""From a response in words to the answer that is judged: named rules and named comparisons.

A benchmark's definition names one of each. Pure functions; a rule returns None where the response
has no answer, which is always wrong.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from lwft_bench.data.stated_numbers import LEAD, STATEMENT, last_stated_number

Extraction = Callable[[str], str | None]
_Comparison = Callable[[str, str], bool]

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
    """The number that the last "answer is <number>" or "\\boxed{<number>}" states.

    None if the response never states one, or the last is no single number: neither part of a fraction
    and no digit of a sum or a power is the answer (`stated_numbers` has the grammar).
    """
    return last_stated_number(response)


def first_letter(response: str) -> str | None:
    """The first capital A to E anywhere: the rule of the LLM-Adapters protocol for AQuA.

    Kept as published. It is biased towards the letters that begin sentences: "A train leaves ..."
    gives A, "Because ..." B, "Each ..." E.
    """
    found = re.search(r"[A-E]", _first_response(response))
    return found.group() if found else None


def answer_is_letter(response: str) -> str | None:
    """The letter A to E in the last "answer is <letter>", alone, in brackets or in markup."""
    answers = re.findall(rf"{STATEMENT}{LEAD}([A-E])\b", response)
    return answers[-1] if answers else None


def answer_is_label(response: str) -> str | None:
    """The label in the last "answer is <label>": true, false, or answer3, ending2 and so on."""
    labels = r"(true|false|(?:answer|ending|option|solution)\d+)"
    answers = re.findall(rf"{STATEMENT}{LEAD}{labels}\b", response)
    return answers[-1] if answers else None


def whole_response(response: str) -> str | None:
    """The response without the space around it; for models that answer with nothing else."""
    return response.strip() or None


def searching(pattern: str) -> Extraction:
    """A rule of a benchmark's own: the last match of a regular expression, or of its first group."""
    searched = re.compile(pattern)

    def last_match(response: str) -> str | None:
        matches = list(searched.finditer(response))
        return matches[-1].group(1 if searched.groups else 0) if matches else None

    return last_match


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
    """Whether `numeric_match` can read it: digits, perhaps with commas between thousands, a point and an
    exponent. "1,5" is none: to some people it is no 15.
    """
    return _number(text) is not None


def is_next_to_nothing(text: str) -> bool:
    """Whether `numeric_match` cannot tell a number from 0, though it is another."""
    value = _number(text)
    return value is not None and 0 < abs(value) <= NUMERIC_TOLERANCE


def numeric_match(prediction: str, answer: str) -> bool:
    """Equal as numbers, to `NUMERIC_TOLERANCE`; what is no number equals none."""
    found, expected = _number(prediction), _number(answer)
    return found is not None and expected is not None and abs(found - expected) <= NUMERIC_TOLERANCE


_DIGITS = r"(?:\d{1,3}(?:,\d{2,3})*,\d{3}|\d+)"  # 1,200 and 12,34,000
_NUMBER = re.compile(rf"[-+]?(?:{_DIGITS}\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)


def _number(text: str) -> float | None:
    """`float` would also take nan, inf and 1_000."""
    plain = text.strip().rstrip(",")
    if not _NUMBER.fullmatch(plain):
        return None
    value = float(plain.replace(",", ""))
    return value if math.isfinite(value) else None


def exact_match(prediction: str, answer: str) -> bool:
    """Equal as text."""
    return prediction == answer


WHOLE_RESPONSE = "whole-response"

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
    WHOLE_RESPONSE: whole_response,
}

OWN_RULE = "regex"
"""The rule whose pattern a benchmark's definition gives."""

RULES = (*EXTRACTIONS, OWN_RULE)

NUMERIC_EXTRACTIONS = ("last-number", "answer-is")
"""Rules whose predictions are numbers."""

JUDGED_AS_NUMBERS = (*NUMERIC_EXTRACTIONS, WHOLE_RESPONSE, OWN_RULE)
"""Rules that go with `numeric_match`: what the last two find may be no number, and is wrong then."""


def rule(name: str, pattern: str | None = None) -> Extraction:
    """A rule by the name and pattern of a definition."""
    if name != OWN_RULE:
        return EXTRACTIONS[name]
    assert pattern is not None
    return searching(pattern)


COMPARISONS: dict[str, _Comparison] = {"numeric_match": numeric_match, "exact_match": exact_match}
