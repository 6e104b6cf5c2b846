"""The shapes of data: what a model is trained on and what it is judged on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """A training example: the model learns `target` given `prompt`.

    The batcher appends the end-of-sequence token after the target.
    """

    prompt: str
    target: str
    question: str | None = None
    """The question alone, which test sets are searched for; None: the prompt."""


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a benchmark.

    `answer` is the gold answer as text; for a multiple-choice item it is one of `choices`, which are
    the continuations scored by log-likelihood. Items without `choices` are answered by generation.
    """

    id: str
    prompt: str
    answer: str
    choices: tuple[str, ...] = ()
    question: str | None = None
    """As of an `Example`."""
    cluster: str | None = None
    """What it has in common with others that were not sampled independently of it; None: nothing."""


@dataclass(frozen=True, slots=True)
class TaskData:
    """What a task trains on. The same for every cell: a cell's seed changes only the order."""

    train: list[Example]
    validation: list[Example]
    num_empty: int = 0
    """Rows of the files left out because their target is empty."""
    num_read: int = 0
    """Rows of the files, those left out included; 0 where there are no files."""


def with_target(examples: Sequence[Example]) -> list[Example]:
    """Those that have something to learn."""
    return [example for example in examples if example.target.strip()]


Keep = Callable[[list[Example]], list[Example]]
"""Leaves training examples out."""
