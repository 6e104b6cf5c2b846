"""The kernels of one bucket: an update, the last one, and the move of a weight without state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from lwft_bench.memory.chunks import CHUNK_ELEMENTS
from lwft_bench.optimizers.base import Optimizer
from lwft_bench.state.group_state import Moment
from lwft_bench.state.layout import Bucket
from lwft_bench.state.precision import Precision, update_slice

_State = dict[str, torch.Tensor]

SECOND_MOMENT = "exp_avg_sq"
"""The name of the field that is a mean of squared gradients, in every optimizer that has one."""


class UnselectedRule(NamedTuple):
    """What moves groups that are not selected: a rule without state, and a factor on the rate."""

    rule: Optimizer
    lr_scale: float


@dataclass(frozen=True, slots=True)
class BucketUpdates:
    """Runs update rules on slices of weights by a precision policy.

    survival: int64 [4], counts elements whose stored weight changed, and elements that were to move;
    second moments that stayed where they were, and those that were to fall.
    """

    precision: Precision
    survival: torch.Tensor

    def update(
        self,
        rule: Optimizer,
        bucket: Bucket,
        weight: torch.Tensor,
        gradient: torch.Tensor,
        moment: Moment,
        counts_survival: bool,
        memory: torch.Tensor,
    ) -> None:
        """One update, on device memory that holds the bucket's state."""
        state, precision = bucket.views(memory), self.precision.of(weight)
        if moment.step == 1 and precision.master:
            state["master"].copy_(weight)

        def kernel(weight: torch.Tensor, gradient: torch.Tensor, state: _State) -> None:
            rule.update(weight, gradient, state, moment.counted, moment.lr)

        if not counts_survival:
            update_slice(precision, kernel, weight, gradient, state, moment.key, bucket.first)
            return
        part = slice(0, CHUNK_ELEMENTS)
        before = weight[part].clone()
        second = state.get(SECOND_MOMENT) if precision.state != torch.float32 else None
        if second is not None:
            falling = gradient[part].float().square() < second[part]
            second_before = second[part].clone()
        update_slice(precision, kernel, weight, gradient, state, moment.key, bucket.first)
        moves = gradient if rule.stateless else state[bucket.fields[0].name]
        moving = moves[part] != 0
        changed = (weight[part] != before) & moving
        counts = [changed.sum(), moving.sum()]
        if second is None:
            counts += [counts[0].new_zeros(())] * 2
        else:
            counts += [((second[part] == second_before) & falling).sum(), falling.sum()]
        self.survival.add_(torch.stack(counts))

    def leave(
        self,
        rule: Optimizer,
        bucket: Bucket,
        weight: torch.Tensor,
        moment: Moment,
        memory: torch.Tensor,
    ) -> None:
        """The last update before the state is cleared."""

        def kernel(weight: torch.Tensor, _: torch.Tensor, state: _State) -> None:
            rule.leave(weight, state, moment.step, moment.lr)

        state, precision = bucket.views(memory), self.precision.of(weight)
        with torch.no_grad():  # there is no gradient: the weight stands in for it, unread
            update_slice(precision, kernel, weight, weight, state, moment.key, bucket.first)

    def move(
        self,
        rule: Optimizer,
        weight: torch.Tensor,
        gradient: torch.Tensor,
        lr: float,
        key: int,
        first: int,
    ) -> None:
        """By a rule without state, in the weight's own precision: there is no float32 copy of it.

        first: the number of the first element in the whole parameter.
        """

        def kernel(weight: torch.Tensor, gradient: torch.Tensor, state: _State) -> None:
            rule.update(weight, gradient, state, 1, lr)

        own = Precision(weight.dtype, weight.dtype, stochastic=self.precision.stochastic)
        with torch.no_grad():
            update_slice(own, kernel, weight, gradient, {}, key, first)
