"""Log-likelihoods of all continuations of a context from one row, in which they are a tree.

The context stands first, then each beginning that continuations share, once. A token attends to what
stands before it in its own continuation, and has the position that it would have there. So one pass
serves all of an item's choices, with hardly any padding. Whether that gives what whole rows give is
looked at on the items that are asked.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from lwft_bench.evaluation.shared_contexts import (
    Choices,
    LogLikelihood,
    as_whole_rows,
    logits_from,
)

MOST_PLACES = 512
"""Of a row: attention computes the square of them, and has a mask of that size."""


class Tree:
    """A context and its continuations as one row; their last tokens need no place.

    Attributes:
        tokens: At each place.
        parents: The place before each in its own continuation; -1 for the first.
        ends: For each continuation the places that its tokens are predicted from.
    """

    def __init__(self, choices: Choices) -> None:
        self.tokens = [*choices.context]
        self.parents = [*range(-1, len(self.tokens) - 1)]
        self.ends: list[list[int]] = []
        known: dict[tuple[int, int], int] = {}
        for continuation in choices.continuations:
            place = len(choices.context) - 1
            places = [place]
            for token in continuation[:-1]:
                after = known.setdefault((place, token), len(self.tokens))
                if after == len(self.tokens):
                    self.tokens.append(token)
                    self.parents.append(place)
                places.append(place := after)
            self.ends.append(places)

    def __len__(self) -> int:
        return len(self.tokens)

    def seen(self) -> tuple[np.ndarray, np.ndarray]:
        """Whether each place attends to each, [places, places]; and the positions, [places]."""
        seen = np.eye(len(self), dtype=bool)
        positions = np.zeros(len(self), dtype=np.int64)
        for place, parent in enumerate(self.parents):
            if parent >= 0:
                seen[place] |= seen[parent]
                positions[place] = positions[parent] + 1
        return seen, positions


def log_likelihoods_of_trees(
    model: Any, batch: Sequence[Choices], padding: int, dtype: torch.dtype | None = None
) -> list[list[LogLikelihood]]:
    """For each of the batch's contexts those of its continuations, in their order.

    Args:
        dtype: In which they are computed and summed; None: the logits'.
    """
    trees = [Tree(one) for one in batch]
    size = max(map(len, trees))
    seen = np.broadcast_to(np.eye(size, dtype=bool), (len(trees), size, size)).copy()
    positions = np.zeros((len(trees), size), dtype=np.int64)
    for row, tree in enumerate(trees):
        seen[row, : len(tree), : len(tree)], positions[row, : len(tree)] = tree.seen()
    first = min(len(one.context) for one in batch) - 1
    own = next(model.parameters())
    with torch.inference_mode():
        tokens = pad_sequence([torch.tensor(tree.tokens) for tree in trees], True, padding)
        logits = logits_from(
            first,
            model,
            tokens.to(own.device),
            attention_mask=_added(torch.from_numpy(seen), own.dtype).to(own.device),
            position_ids=torch.from_numpy(positions).to(own.device),
        )
        rows, places, asked = (
            torch.tensor(one, device=own.device) for one in _asked(batch, trees, first)
        )
        found = functional.log_softmax(logits, -1, dtype=dtype)[rows, places, asked]
        likely = (logits.argmax(-1)[rows, places] == asked).split(lengths := _lengths(batch))
        each = zip(found.split(lengths), likely, strict=True)
        return [
            [
                (float(value.sum()), bool(same.all()))
                for _, (value, same) in zip(one.continuations, each, strict=False)
            ]
            for one in batch
        ]


def fits_in_a_tree(choices: Choices) -> bool:
    """Whether its row is short enough, told without making it."""
    return len(choices.context) + sum(map(len, choices.continuations)) <= MOST_PLACES


def may_be_trees(model: Any, items: Sequence[Choices], padding: int) -> bool:
    """Compares log-likelihoods of three items beside one another with those of whole rows.

    They are the one with the longest row, the one whose tokens have the last positions, the shortest.

    A model that makes a mask of its own, has positions of its own or reads tokens in the order of places
    may raise anything at all, or gives others: its continuations are not put into trees.
    """
    if not items or "position_ids" not in inspect.signature(model.forward).parameters:
        return False
    by_size = sorted(items, key=lambda one: len(Tree(one)))
    longest = max(items, key=lambda one: len(one.context) + max(map(len, one.continuations)))
    batch = [by_size[-1], longest, by_size[0]]
    try:
        found = log_likelihoods_of_trees(model, batch, padding, torch.float32)
    except Exception:  # of a model's own code, which may raise anything
        return False
    return as_whole_rows(model, batch, found)


def _added(seen: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """What is added to attention's scores, [rows, 1, places, places]."""
    lowest = torch.finfo(dtype).min
    return torch.zeros(seen.shape, dtype=dtype).masked_fill_(~seen, lowest)[:, None]


def _asked(
    batch: Sequence[Choices], trees: Sequence[Tree], first: int
) -> tuple[list[int], list[int], list[int]]:
    """For each token of each continuation its row, the place it is predicted from, and itself."""
    rows: list[int] = []
    places: list[int] = []
    tokens: list[int] = []
    for row, (one, tree) in enumerate(zip(batch, trees, strict=True)):
        for continuation, its_places in zip(one.continuations, tree.ends, strict=True):
            rows += [row] * len(continuation)
            places += [place - first for place in its_places]
            tokens += continuation
    return rows, places, tokens


def _lengths(batch: Sequence[Choices]) -> list[int]:
    return [len(continuation) for one in batch for continuation in one.continuations]
