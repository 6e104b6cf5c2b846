"""Whether answers are those that a model gives greedily, from one pass over each with its prompt.

Each token of an answer has to be the most likely one after those before it. That takes a small part of
the time of generating them again, token by token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from lwft_bench.evaluation.shared_contexts import logits_from


@dataclass(frozen=True, slots=True)
class Answered:
    """A prompt and its answer as tokens. ends: whether it ends where the answer ought to."""

    prompt: Sequence[int]
    answer: Sequence[int]
    ends: bool


def num_confirmed(model: Any, answers: Sequence[Answered], batch_size: int) -> int:
    """How many of the answers are the model's own.

    Args:
        model: A causal one: rows are padded on the right, without a mask.
    """
    by_size = sorted(answers, key=lambda one: len(one.prompt) + len(one.answer))
    batches = [by_size[k : k + batch_size] for k in range(0, len(by_size), batch_size)]
    return sum(sum(_confirmed(model, batch)) for batch in batches)


def _confirmed(model: Any, batch: Sequence[Answered]) -> list[bool]:
    device = next(model.parameters()).device
    rows = [torch.tensor([*one.prompt, *one.answer[:-1]], device=device) for one in batch]
    tokens = pad_sequence(rows, True, 0)
    first = min(len(one.prompt) for one in batch) - 1
    with torch.inference_mode():
        likely = logits_from(first, model, tokens).argmax(-1).tolist()
    found = []
    for one, its in zip(batch, likely, strict=True):
        begin = len(one.prompt) - 1 - first
        same = its[begin : begin + len(one.answer)] == [*one.answer]
        found.append(same and one.ends)
    return found
