"""When a gradient is complete: over the micro-batches of a step, and over all ranks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from lwft_bench.training.ranks import Ranks


class GradientSums:
    """Sums gradients over ranks in an order that is the same on all, whatever their data.

    Ranks must sum the same parameter's gradient at the same time, but one of them may have none for
    it (an expert that none of its tokens went to). So each waits for the next parameter of one set
    order, and gives zeros for what it lacks when its backward passes are over.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._order: Sequence[nn.Parameter] = ()
        self._arrived: set[nn.Parameter] = set()
        self._num_summed = 0

    def activate(self, order: Sequence[nn.Parameter]) -> None:
        """The parameters that get gradients from now on; about as backward passes come to them, since
        a gradient that comes early has to wait.
        """
        self._order = order

    def begin_step(self) -> None:
        self._arrived = set()
        self._num_summed = 0

    def arrive(self, parameter: nn.Parameter) -> Iterator[nn.Parameter]:
        """This rank's gradient is complete; gives parameters whose sums are."""
        self._arrived.add(parameter)
        if self._ranks.world == 1:
            yield parameter
            return
        while self._num_summed < len(self._order):
            following = self._order[self._num_summed]
            if following not in self._arrived:
                return
            assert following.grad is not None
            self._ranks.sum(following.grad)
            self._num_summed += 1
            yield following

    def finish_step(self) -> Iterator[nn.Parameter]:
        """After the last backward pass: gives the other parameters that got a gradient anywhere."""
        if self._ranks.world == 1:
            for parameter in self._order:
                if parameter.grad is not None and parameter not in self._arrived:
                    yield parameter
            return
        rest = self._order[self._num_summed :]
        found = torch.ones(len(self._order), dtype=torch.int32)
        for index, parameter in enumerate(rest, self._num_summed):
            if parameter.grad is None:
                found[index] = 0
                parameter.grad = torch.zeros_like(parameter)
            self._ranks.sum(parameter.grad)
        self._ranks.sum(found)
        for parameter, count in zip(rest, found[self._num_summed :].tolist(), strict=True):
            if count:
                yield parameter
            else:
                parameter.grad = None
