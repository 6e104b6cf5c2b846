"""The two shapes of data: what a model is trained on and what it is judged on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """A training example: the model learns `target` given `prompt`.

    The batcher appends the end-of-sequence token after the target.
    """

    prompt: str
    target: str


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
