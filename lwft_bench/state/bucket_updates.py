"""The kernels of one bucket: an update, the last one, and the move of a weight without state."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lwft_bench.optimizers.base import Optimizer
from lwft_bench.state.layout import Bucket
from lwft_bench.state.precision import CHUNK_ELEMENTS, Precision, update_slice

State = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class BucketUpdates:
    """Runs update rules on slices of weights by a precision policy.

    survival: int64 [2], counts elements whose stored weight changed, and elements that were to move.
    """

    precision: Precision
    survival: torch.Tensor

    def update(
        self,
        rule: Optimizer,
        bucket: Bucket,
        weight: torch.Tensor,
        gradient: torch.Tensor,
        step: int,
        counted: int,
        lr: float,
        key: int,
        counts_survival: bool,
        memory: torch.Tensor,
    ) -> None:
        """One update, on device memory that holds the bucket's state.

        step: counts the bucket's updates. counted: what the rule is told.
        """
        state = bucket.views(memory)
        if step == 1 and self.precision.master:
            state["master"].copy_(weight)

        def kernel(weight: torch.Tensor, gradient: torch.Tensor, state: State) -> None:
            rule.update(weight, gradient, state, counted, lr)

        if not counts_survival:
            update_slice(self.precision, kernel, weight, gradient, state, key, bucket.start)
            return
        before = weight[:CHUNK_ELEMENTS].clone()
        update_slice(self.precision, kernel, weight, gradient, state, key, bucket.start)
        moves = gradient if rule.stateless else state[bucket.fields[0].name]
        moving = moves[:CHUNK_ELEMENTS] != 0
        changed = (weight[:CHUNK_ELEMENTS] != before) & moving
        self.survival.add_(torch.stack([changed.sum(), moving.sum()]))

    def leave(
        self,
        rule: Optimizer,
        bucket: Bucket,
        weight: torch.Tensor,
        step: int,
        lr: float,
        key: int,
        memory: torch.Tensor,
    ) -> None:
        """The last update before the state is cleared."""

        def kernel(weight: torch.Tensor, _: torch.Tensor, state: State) -> None:
            rule.leave(weight, state, step, lr)

        state = bucket.views(memory)
        with torch.no_grad():  # there is no gradient: the weight stands in for it, unread
            update_slice(self.precision, kernel, weight, weight, state, key, bucket.start)

    def move(
        self, rule: Optimizer, weight: torch.Tensor, gradient: torch.Tensor, lr: float, key: int
    ) -> None:
        """By a rule without state, in the weight's own precision: there is no float32 copy of it."""

        def kernel(weight: torch.Tensor, gradient: torch.Tensor, state: State) -> None:
            rule.update(weight, gradient, state, 1, lr)

        own = Precision(weight.dtype, weight.dtype, stochastic=self.precision.stochastic)
        with torch.no_grad():
            update_slice(own, kernel, weight, gradient, {}, key, 0)
