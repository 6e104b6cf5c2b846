"""Floating-point operations of any batch, from a few small ones on the assembled model itself.

A step's arithmetic is a sum of terms that grow with what a batch has of tokens, pairs of tokens and
target tokens (`Extent`). The terms' factors follow exactly from five batches of some sixteen tokens,
run forward and backward without an update. One more batch, and the planned longest one, tell whether
they are right. Linear attention works on chunks of up to 64 tokens, whatever a row has of them: there
batches of one and two chunks come closer, and how far off they are is recorded.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

import torch

from lwft_bench.dry_run.dry_run import MEASURING, PROBING, CostClass, DryRun, cost_class
from lwft_bench.dry_run.steps import BatchShape, batch_of
from lwft_bench.memory.flops import FlopCount
from lwft_bench.memory.meters import NoAccount
from lwft_bench.schema.cell import TrainingConfig
from lwft_bench.schema.extents import Extent
from lwft_bench.strategies.base import Needs
from lwft_bench.training.active_groups import active_groups
from lwft_bench.training.assembly import Assembly
from lwft_bench.training.loss import DeviceBatch
from lwft_bench.training.readings import Readings
from lwft_bench.training.step import TrainingStep
from lwft_bench.training.streams import undisturbed

Factors = tuple[Fraction, ...]
"""Operations for each one of an Extent's fields."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of a row in the batches that costs are made from, and what they are compared with."""

    short: int
    long: int
    checks: tuple[BatchShape, ...]


_SHORT_ROWS = BatchShape(3, 24, 24)
TRIALS = (
    Lengths(8, 16, (_SHORT_ROWS,)),
    Lengths(64, 128, (_SHORT_ROWS, BatchShape(3, 96, 24))),
)
"""The later ones where the first are further off than `_CLOSE`."""
_CLOSE = 0.01


class Selected(NamedTuple):
    """Units that train, and units that are only measured."""

    units: tuple[int, ...]
    observed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Cost:
    """Of forward and backward passes. recomputed: the part that computes activations again which were
    there before (checkpointing). update: the optimizer's own matrix products, once a step.
    """

    factors: Factors
    recomputed: Factors
    update: int = 0

    def passes(self, extent: Extent) -> int:
        """Operations of the forward and backward passes."""
        return _sum(self.factors, extent)

    def recomputation(self, extent: Extent) -> int:
        """Those of them that compute something again."""
        return _sum(self.recomputed, extent)


@dataclass(frozen=True, slots=True)
class StepCosts:
    """What each kind of step costs.

    uncounted: operators whose arithmetic is in no cost, for want of a formula. deviation: the largest
    relative difference from what was counted on a batch that the costs were not made from, or planned
    for the longest one.
    """

    costs: dict[CostClass, Cost]
    uncounted: tuple[str, ...]
    deviation: float


def count_operations(
    assembly: Assembly,
    device: torch.device,
    selections: Sequence[Selected],
    needs: Needs,
    planned: DryRun,
    longest: Extent | None = None,
) -> StepCosts:
    """The costs of every kind of step that `planned` knows.

    selections: with the units that are measured beside those selected, whose gradients cost as much.
    longest: of the batch that was planned; None: what was planned is not compared.

    Weights, optimizer state and random streams are left as they are. Nothing is active afterwards.
    """
    found: list[StepCosts] = []
    with undisturbed(device), FlopCount() as counter:
        for lengths in TRIALS:
            trial = _Trial(assembly, device, needs, counter, lengths)
            try:
                costs = trial.costs(selections, planned, longest)
            except Exception:
                if not found:
                    raise
                break  # longer rows than the model can have
            uncounted = tuple(sorted(counter.uncounted + Counter(planned.uncounted)))
            off = max([trial.deviation, *_deviations(costs, planned, longest)])
            found.append(StepCosts(costs, uncounted, off))
            if off <= _CLOSE:
                break
    return min(found, key=lambda one: one.deviation)


def _deviations(
    costs: dict[CostClass, Cost], planned: DryRun, longest: Extent | None
) -> Iterator[float]:
    """Of each kind of step with the longest batch, relative to what was planned for it."""
    for kind, cost in costs.items():
        if longest is not None and (expected := planned.flops.get(kind)):
            yield abs(cost.passes(longest) + cost.update - expected) / expected


class _Trial:
    """Runs small batches through the model, for one rank alone."""

    def __init__(
        self,
        assembly: Assembly,
        device: torch.device,
        needs: Needs,
        counter: FlopCount,
        lengths: Lengths,
    ) -> None:
        self._assembly = assembly
        self._device = device
        self._needs = needs
        self._counter = counter
        self._lengths = lengths
        self._sizes = [group.num_parameters for group in assembly.groups.units]
        self._readings = Readings(device, len(self._sizes), fake=True)
        assembly.step.activate([])
        self._step = TrainingStep(
            assembly.loss,
            assembly.store,
            self._readings,
            NoAccount(),
            TrainingConfig(steps=1),
        )
        self.deviation = 0.0

    def costs(
        self, selections: Sequence[Selected], planned: DryRun, longest: Extent | None
    ) -> dict[CostClass, Cost]:
        """Nothing is active afterwards, also if a batch cannot be run."""
        try:
            return self._costs(selections, planned, longest)
        finally:
            self._step.activate([])

    def _costs(
        self, selections: Sequence[Selected], planned: DryRun, longest: Extent | None
    ) -> dict[CostClass, Cost]:
        groups = self._assembly.groups
        costs: dict[CostClass, Cost] = {}
        if self._needs.probing_steps:
            self._step.activate([], measured=groups.units)
            costs[PROBING] = self._cost(self._run_step)
        if self._needs.measure:
            costs[MEASURING] = self._cost(self._run_forward)
        for alike in self._alike(selections):
            for kind, cost in self._interpolated(alike, planned, longest).items():
                costs[kind] = replace(cost, update=planned.updates.get(kind, 0))
        return costs

    def _alike(self, selections: Sequence[Selected]) -> list[dict[CostClass, Selected]]:
        """A selection of each class; classes together that differ in their lowest unit alone."""
        found: defaultdict[tuple[int, ...], dict[CostClass, Selected]] = defaultdict(dict)
        kinds = {cost_class(one.units, self._sizes, one.observed): one for one in selections}
        for kind in sorted(kinds):
            found[kind[1]][kind] = kinds[kind]
        return list(found.values())

    def _interpolated(
        self, alike: dict[CostClass, Selected], planned: DryRun, longest: Extent | None
    ) -> dict[CostClass, Cost]:
        """Layers of one kind add the same each, so the first class and the last give those between.
        Where what was planned for the longest batch does not say so to the digit, one more batch is
        asked; and where that says otherwise, a class is worked out by itself.
        """
        kinds = list(alike)
        costs = {}
        for kind in dict.fromkeys((kinds[0], kinds[-1])):
            self._select(alike[kind])
            costs[kind] = self._cost(self._run_step)
        first, last = costs[kinds[0]], costs[kinds[-1]]
        for kind in kinds[1:-1]:
            share = Fraction(kind[0] - kinds[0][0], kinds[-1][0] - kinds[0][0])
            costs[kind] = Cost(
                _between(first.factors, last.factors, share),
                _between(first.recomputed, last.recomputed, share),
            )
            if longest is not None and kind in planned.flops:
                passes = planned.flops[kind] - planned.updates.get(kind, 0)
                if costs[kind].passes(longest) == passes:
                    continue
            self._select(alike[kind])
            if self._deviation(costs[kind], self._run_step) != 0:
                costs[kind] = self._cost(self._run_step)
        return costs

    def _select(self, selected: Selected) -> None:
        groups, method = self._assembly.groups, self._assembly.method
        self._step.activate(
            *active_groups(groups, method, selected.units, self._needs, selected.observed)
        )

    def _cost(self, run: Callable[[BatchShape], tuple[int, int]]) -> Cost:
        short, long = self._lengths.short, self._lengths.long
        counts = [
            run(BatchShape(rows, length, targets))
            for rows, length, targets in (
                (1, short, short),
                (2, short, short),
                (1, long, short),
                (1, short, long),
            )
        ]
        totals, recomputed = zip(*counts, strict=True)
        cost = Cost(_factors(totals, self._lengths), _factors(recomputed, self._lengths))
        self.deviation = max(self.deviation, self._deviation(cost, run))
        return cost

    def _deviation(self, cost: Cost, run: Callable[[BatchShape], tuple[int, int]]) -> float:
        """Relative, on batches that the cost was not made from: the largest."""
        counted = {check: run(check)[0] for check in self._lengths.checks}
        return max(abs(cost.passes(c.extent) - n) / max(1, n) for c, n in counted.items())

    def _run_step(self, shape: BatchShape) -> tuple[int, int]:
        """Operations of a forward and backward pass, and those of them that compute again."""
        before = self._counter.total, self._counter.recomputed
        self._step.run([self._batch(shape)], shape.num_targets, lr=None)
        self._readings.discard_step()
        return self._counter.total - before[0], self._counter.recomputed - before[1]

    def _run_forward(self, shape: BatchShape) -> tuple[int, int]:
        before = self._counter.total
        self._assembly.model.eval()
        try:
            with torch.no_grad():
                self._assembly.loss(self._batch(shape))
        finally:
            self._assembly.model.train()
        return self._counter.total - before, 0

    def _batch(self, shape: BatchShape) -> DeviceBatch:
        return batch_of(shape, self._device)


def _factors(counts: Sequence[int], lengths: Lengths) -> Factors:
    """From the operations of the four batches of `_cost`."""
    one, two_rows, long_row, more_targets = counts
    short, long = lengths.short, lengths.long
    row = two_rows - one
    target = Fraction(more_targets - one, long - short)
    constant = one - row - target * short
    alone = Fraction(long_row - constant - target * short)
    pair = (alone / long - Fraction(row, short)) / (long - short)
    token = Fraction(row, short) - pair * short
    return constant, token, pair, target


def _between(first: Factors, last: Factors, share: Fraction) -> Factors:
    return tuple(a + share * (b - a) for a, b in zip(first, last, strict=True))


def _sum(factors: Factors, extent: Extent) -> int:
    return round(sum(factor * number for factor, number in zip(factors, extent, strict=True)))
