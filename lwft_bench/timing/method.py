"""A cell's method ready to make single steps, each of which is timed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lwft_bench.cell.loading import load
from lwft_bench.cell.training import prepare
from lwft_bench.data.batching import DataOrder
from lwft_bench.dry_run.planned_selections import LONGEST_TRACE
from lwft_bench.dry_run.steps import LR, CellSteps
from lwft_bench.memory.flops import FlopCount
from lwft_bench.memory.meters import synchronised_clock
from lwft_bench.plugins.registry import strategies
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.timing import TimingRow
from lwft_bench.strategies.simulation import SimulatedTrainer, Simulation
from lwft_bench.timing.turns import Chosen, spread_over
from lwft_bench.training.assembly import Assembly
from lwft_bench.training.batch_steps import BatchSteps

WARM_UP_STEPS = 2
"""State is touched for the first time, kernels are chosen, the order of updates is learnt."""


@dataclass(frozen=True, slots=True)
class TimedStep:
    """A timed step's: the pair, the method's place in its round, the step of its turn."""

    pair: int
    turn: int
    step: int


class MethodSteps:
    """The trainer's step of one method, on a model of its own.

    Weights move by next to nothing, so that all steps are those of the model as it was loaded. What a
    method does between steps (probing, selecting, making and letting go of state) is not timed: the
    first step after a selection is made twice and timed once.
    """

    def __init__(
        self,
        cell: Cell,
        recorded: Sequence[tuple[Chosen, int]],
        pairs: int,
        steps: int,
    ) -> None:
        """recorded: the cell's own selections with their steps; empty: made by its strategy anew."""
        loaded = load(cell, is_scored=False)
        prepared = prepare(loaded)
        self.cell = cell
        self.device = loaded.device
        self.assembly: Assembly = prepared.assembly
        self._order: DataOrder = prepared.order
        self._batch_size = cell.training.batch_size
        self._needs = strategies.build(cell.method.strategy).needs
        weighted = recorded or _simulated(cell, self.assembly)
        self._chosen = spread_over(weighted, pairs, steps)
        self._steps = steps
        self.selections: Literal["recorded", "simulated", "one"] = "recorded"
        if len({chosen for chosen, _ in weighted}) == 1:
            self.selections = "one"
        elif not recorded:
            self.selections = "simulated"
        self._switching = CellSteps(self.assembly, [], 0, FlopCount(), prepared.account)
        self._batch_steps = BatchSteps(self.assembly, lambda event: None)
        self._current: Chosen | None = None

    @property
    def num_bytes(self) -> int:
        """Of its weights."""
        return sum(p.numel() * p.element_size() for p in self.assembly.model.parameters())

    def warm_up(self) -> None:
        """A few steps that nobody times."""
        self._select(self._chosen[0])
        for _ in range(WARM_UP_STEPS):
            self._step(0)

    def timed(self, place: TimedStep) -> TimingRow:
        """Makes one step; those of the same pair and number have the same batch for every method."""
        number = place.pair * self._steps + place.step
        chosen = self._chosen[number]
        if chosen != self._current:
            self._select(chosen)
            self._step(number)
        began, worked = synchronised_clock(self.device), time.process_time()
        row = self._step(number)
        seconds = synchronised_clock(self.device) - began
        units = self.assembly.groups.units
        return row.model_copy(
            update={
                "pair": place.pair,
                "turn": place.turn,
                "step": place.step,
                "lowest": min((units[unit].depth for unit in chosen.units), default=None),
                "num_units": len(chosen.units),
                "seconds": seconds,
                "processor_seconds": time.process_time() - worked,
            }
        )

    def _select(self, chosen: Chosen) -> None:
        self._switching.select(chosen.units, self._needs, chosen.observed)
        self._current = chosen

    def _step(self, number: int) -> TimingRow:
        """One step on the batch of this number; its readings are let go."""
        self._order.load_state_dict({"num_drawn": number * self._batch_size})
        row = self._batch_steps.run(self._order.next_batch(), LR, step=number, period=0)
        self.assembly.readings.discard_step()
        assert row.computed is not None
        return TimingRow(
            cell=self.cell.id,
            pair=0,
            turn=0,
            step=0,
            lowest=None,
            num_units=0,
            seconds=0.0,
            processor_seconds=0.0,
            tokens=row.tokens,
            target_tokens=row.target_tokens,
            padded_tokens=row.computed.tokens,
        )


def _simulated(cell: Cell, assembly: Assembly) -> list[tuple[Chosen, int]]:
    """What the cell's strategy selects on made-up gradients."""
    simulation = Simulation(
        strategies.get(cell.method.strategy.name),
        strategies.options(cell.method.strategy),
        len(assembly.groups.units),
        total_steps=max(1, cell.training.steps),
        units=tuple(assembly.groups.seen_by_strategy()),
        total_parameters=assembly.adapter.num_parameters(assembly.model),
    )
    trainer = SimulatedTrainer(replace(simulation, seed=cell.seed))
    for _ in trainer.run():
        if len(trainer.trace) >= LONGEST_TRACE:
            break
    return [
        (Chosen(tuple(sorted(row["units"])), tuple(sorted(row["observe"]))), row["num_steps"])
        for row in trainer.trace
    ]
