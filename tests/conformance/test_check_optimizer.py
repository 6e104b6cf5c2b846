"""Each check of an optimizer fails on one that is wrong in that way, and says what is wrong."""

from __future__ import annotations

import re
from itertools import count

import pytest
import torch
from pydantic import BaseModel

from lwft_bench import Optimizer, UserError, check_optimizer
from lwft_bench.optimizers import Field
from lwft_bench.plugins.registry import optimizers
from lwft_bench.testing.optimizer_checks import OPTIMIZER_CHECKS, OptimizerCase
from lwft_bench.testing.outcomes import outcomes


class Momentum(Optimizer):
    """Right in every way; what is wrong is added to it."""

    kind = "elementwise"

    def fields(self, shape, dtype):
        return (Field("direction", dtype, shape),)

    def update(self, weight, gradient, state, step, lr):
        state["direction"].mul_(0.9).add_(gradient)
        weight.sub_(state["direction"], alpha=lr)


class TakesAnyOption(Momentum):
    class Options(BaseModel):
        pass


class CutsNowhere(Momentum):
    alignment = 100


class HasTwoOfAName(Momentum):
    def fields(self, shape, dtype):
        return (Field("direction", dtype, shape), Field("direction", dtype, shape))


class LeavesVectors(Momentum):
    def update(self, weight, gradient, state, step, lr):
        if weight.numel() > 128:
            super().update(weight, gradient, state, step, lr)


class GoesUphill(Momentum):
    def update(self, weight, gradient, state, step, lr):
        super().update(weight, gradient, state, step, -lr)


class Remembers(Momentum):
    numbers = count()

    def __init__(self, options=None):
        super().__init__(options)
        self.factor = 1 + next(self.numbers)

    def update(self, weight, gradient, state, step, lr):
        super().update(weight, gradient, state, step, lr / self.factor)


class Draws(Momentum):
    def update(self, weight, gradient, state, step, lr):
        super().update(weight, gradient, state, step, lr)
        torch.rand(1)


class NormalisesItsSlice(Momentum):
    def update(self, weight, gradient, state, step, lr):
        super().update(weight, gradient / gradient.norm(), state, step, lr)


class CountsAllUpdates(Momentum):
    def __init__(self, options=None):
        super().__init__(options)
        self.updates = 0

    def update(self, weight, gradient, state, step, lr):
        self.updates += 1
        super().update(weight, gradient, state, step, lr / self.updates)


class NeedsFloat32(Momentum):
    def update(self, weight, gradient, state, step, lr):
        super().update(
            weight, gradient, state, step, lr if weight.element_size() > 2 else float("inf")
        )


class DividesByTheGradient(Momentum):
    def update(self, weight, gradient, state, step, lr):
        super().update(weight, gradient * (gradient / gradient), state, step, lr)


class LooksAtValues(Momentum):
    def update(self, weight, gradient, state, step, lr):
        if float(gradient.sum()) != 0.25:
            super().update(weight, gradient, state, step, lr)


BROKEN = [
    ("refuses unknown options", TakesAnyOption, "derive it from PluginOptions"),
    ("says how it is cut", CutsNowhere, "alignment is 100, no multiple of 64"),
    ("says how it is cut", HasTwoOfAName, "names must differ"),
    ("updates every parameter", LeavesVectors, r"shape \[128\] is left as it was"),
    ("goes downhill", GoesUphill, "20 steps on a convex bowl take it from"),
    ("is deterministic", Remembers, "two runs alike end in other weights"),
    ("leaves random streams alone", Draws, "drew from torch's global stream"),
    ("does not depend on where state is", NormalisesItsSlice, "in buckets of 4096 bytes end in"),
    ("keeps parameters apart", CountsAllUpdates, "two orders of the same updates end in other"),
    ("keeps all it needs in its state", CountsAllUpdates, "interrupted end in other weights"),
    ("works at every precision", NeedsFloat32, "precision bf16: weights are no longer finite"),
    ("survives vanishing gradients", DividesByTheGradient, "gradients of zero: weights are no"),
    ("runs on fake tensors", LooksAtValues, "DataDependentOutput"),
]


def test_every_check_is_seen_to_fail():
    assert {check for check, _, _ in BROKEN} == set(OPTIMIZER_CHECKS)


@pytest.mark.parametrize(("check", "optimizer", "detail"), BROKEN)
def test_broken_optimizer_fails_its_check(check, optimizer, detail):
    case = OptimizerCase(optimizer, optimizer.Options())
    (outcome,) = outcomes({check: OPTIMIZER_CHECKS[check]}, case, optimizer, 60.0)
    assert not outcome.passed
    assert re.search(detail, outcome.detail), outcome.detail


def test_the_optimizer_they_derive_from_passes():
    assert [outcome for outcome in check_optimizer(Momentum) if not outcome.passed] == []


OPTIONS = {"galore": {"rank": 8}, "apollo": {"rank": 8}}


@pytest.mark.parametrize("name", [n for n in optimizers.names() if not n.startswith("my-")])
def test_shipped_optimizers_pass_every_check(name):
    try:
        failed = [o for o in check_optimizer(name, OPTIONS.get(name)) if not o.passed]
    except UserError as error:
        pytest.skip(str(error))
    assert failed == []
