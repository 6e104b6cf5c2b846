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
from collections.abc import Iterable, Sequence, Set
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
    (found,) = find_overlaps(training, [test])
    return found


def find_overlaps(training: Sequence[str], tests: Iterable[Sequence[str]]) -> list[Overlap]:
    """Compares them with those of several test sets, going through the training set once."""
    sought = [_TestSet(test) for test in tests]
    lengths = {one.run_length for one in sought}
    for index, question in enumerate(training):
        words = _words(question)
        runs = {length: _runs(words, length) for length in lengths}
        for one in sought:
            one.compare(index, words, runs[one.run_length])
    return [one.overlap() for one in sought]


class _TestSet:
    """The questions of a test set, looked for in one training question after the other."""

    def __init__(self, questions: Sequence[str]) -> None:
        every = [_words(question) for question in questions]
        self._found = Overlap(_run_length([len(words) for words in every]))
        self._exact: dict[tuple[str, ...], list[int]] = {}
        self._joined: dict[str, list[int]] = {}
        self._runs: dict[tuple[str, ...], set[int]] = {}
        self._sharing: dict[tuple[str, ...], list[int]] = {}
        """Of each run that training questions have too: which."""
        for index, words in enumerate(every):
            self._exact.setdefault(tuple(words), []).append(index)
            self._joined.setdefault("".join(words), []).append(index)
            for run in _runs(words, self._found.run_length):
                self._runs.setdefault(run, set()).add(index)

    @property
    def run_length(self) -> int:
        """Words of a run that counts."""
        return self._found.run_length

    def compare(self, index: int, words: Sequence[str], runs: Set[tuple[str, ...]]) -> None:
        """With the words, and the runs of them, of the training question of this row number."""
        found = self._found
        for same in self._joined.get("".join(words), ()):
            found.test.setdefault(same, "near")
            found.training.setdefault(index, "near")
        for same in self._exact.get(tuple(words), ()):
            found.test[same] = found.training[index] = "exact"
        for run in runs & self._runs.keys():
            self._sharing.setdefault(run, []).append(index)

    def overlap(self) -> Overlap:
        """After all training questions."""
        found = self._found
        for run, rows in self._sharing.items():
            if len(rows) <= COMMON:
                for index in rows:
                    found.training.setdefault(index, "near")
                for index in self._runs[run]:
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
