"""Which test questions also stand in training data: the same text, or nearly the same.

exact: the same words in the same order, a word being a run of letters and digits, lower-cased.

near: the same letters and digits cut into other words ("did n't" for "didn't"), or a run of N words
in common, as in Brown et al. 2020 (GPT-3, arXiv 2005.14165, appendix C). N is the test set's fifth
percentile of words in a question, at least 8 and at most 13, so that a question of fewer words has
no such run; a run that stands in more than ten training questions is a common phrase and does not
count.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from lwft_bench.data.examples import Example, Item, TaskData
from lwft_bench.schema.rows import OverlapKind

SHORTEST, LONGEST = 8, 13
PERCENTILE = 5
COMMON = 10
"""A run of words in more training questions than these is a common phrase."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Row number -> how it was found; of the test set and of the training set. Exact wins."""

    run_length: int
    """N, in words."""
    test: dict[int, OverlapKind] = field(default_factory=dict)
    training: dict[int, OverlapKind] = field(default_factory=dict)

    def count(self, kind: OverlapKind) -> int:
        """Test questions found this way."""
        return sum(found == kind for found in self.test.values())


def asked(row: Example | Item) -> str:
    """What is compared of an example or item."""
    return row.prompt if row.question is None else row.question


def asked_in(data: TaskData) -> list[str]:
    """Of everything that a model sees while it is trained or chosen: training and validation."""
    return [asked(example) for example in (*data.train, *data.validation)]


def find_overlap(training: Sequence[str], test: Sequence[str]) -> Overlap:
    """Compares the questions of a training set with those of a test set."""
    test_words = [_words(question) for question in test]
    length = _run_length([len(words) for words in test_words])
    exact: dict[tuple[str, ...], list[int]] = {}
    joined: dict[str, list[int]] = {}
    runs: dict[tuple[str, ...], set[int]] = {}
    for index, words in enumerate(test_words):
        exact.setdefault(tuple(words), []).append(index)
        joined.setdefault("".join(words), []).append(index)
        for run in _runs(words, length):
            runs.setdefault(run, set()).add(index)
    found = Overlap(length)
    sharing: dict[tuple[str, ...], list[int]] = {}
    for index, question in enumerate(training):
        words = _words(question)
        for same in joined.get("".join(words), ()):
            found.test.setdefault(same, "near")
            found.training.setdefault(index, "near")
        for same in exact.get(tuple(words), ()):
            found.test[same] = found.training[index] = "exact"
        for run in _runs(words, length):
            if run in runs:
                sharing.setdefault(run, []).append(index)
    for run, rows in sharing.items():
        if len(rows) <= COMMON:
            for index in rows:
                found.training.setdefault(index, "near")
            for index in runs[run]:
                found.test.setdefault(index, "near")
    return found


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def _runs(words: Sequence[str], length: int) -> set[tuple[str, ...]]:
    return {tuple(words[start : start + length]) for start in range(len(words) - length + 1)}


def _run_length(lengths: Sequence[int]) -> int:
    if not lengths:
        return LONGEST
    percentile = sorted(lengths)[len(lengths) * PERCENTILE // 100]
    return min(max(percentile, SHORTEST), LONGEST)
