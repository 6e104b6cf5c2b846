"""The trainer: one for every method. It knows units, a strategy and a step, and no method's name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lwft_bench.data.batching import DataOrder
from lwft_bench.memory.meters import allocated_bytes, synchronised_clock
from lwft_bench.schema.events import Emit, Noted, PhaseBegan, StepsDone, Validated
from lwft_bench.schema.rows import StateRow, SwitchRow, ValidationRow
from lwft_bench.strategies.base import Context, Strategy
from lwft_bench.strategies.selections import validate_selection
from lwft_bench.training.active_groups import active_groups
from lwft_bench.training.assembly import Assembly
from lwft_bench.training.batch_steps import BatchSteps
from lwft_bench.training.errors import Diverged, Interrupted
from lwft_bench.training.groups import Group
from lwft_bench.training.measures import Measures
from lwft_bench.training.rates import next_rate, require_no_sweeps
from lwft_bench.training.restarts import ending_groups, require_clearing
from lwft_bench.training.resumption import Carried, Place, Resumption
from lwft_bench.training.state_checksums import state_checksums
from lwft_bench.training.streams import RandomStreams
from lwft_bench.training.trace import Trace
from lwft_bench.training.weight_checksums import WeightChecksums
from lwft_bench.training.windows import Windows

SURVIVAL_INTERVAL = 10
"""In one step of so many it is counted how much of the update survives rounding."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the trainer tells the outside, and asks it.

    emit: an event. should_stop: whether to write a checkpoint and raise Interrupted; of several ranks
    one is enough. validate: begins the phase of that name, and tells the validation loss now.
    """

    emit: Emit
    should_stop: Callable[[], bool]
    validate: Callable[[], float | None]


@dataclass(frozen=True, slots=True)
class Feed:
    """What a run draws from: batches to train on, batches to probe and measure on, random streams."""

    order: DataOrder
    probing_order: DataOrder
    streams: RandomStreams


class Trainer:
    """Runs probing and training; `run` goes on from the folder's checkpoint if there is one.

    Over several ranks all run the same trainer, on their shares of each batch; the first one writes.
    """

    def __init__(
        self,
        assembly: Assembly,
        strategy: Strategy,
        feed: Feed,
        hooks: Hooks,
        folder: Path,
    ) -> None:
        self._groups = assembly.groups
        self._step = assembly.step
        self._batch_steps = BatchSteps(assembly, hooks.emit)
        self._store = assembly.store
        self._ranks, self._shards = assembly.ranks, assembly.shards
        self._strategy = strategy
        self._config = assembly.config
        self._order = feed.order
        self._probing_order = feed.probing_order
        self._streams = feed.streams
        self._device = assembly.surroundings.device
        self._account = assembly.surroundings.account
        self._hooks = hooks
        self._rng = feed.streams.generator("selection")
        self._probing_steps = strategy.needs.probing_steps
        self._place = Place(at=-self._probing_steps)
        self._method = assembly.method
        self._total_parameters = assembly.adapter.num_parameters(assembly.model)
        self._saved_at = self._place.at
        self.trace = Trace.of(self._groups.seen_by_strategy(), self._probing_steps)
        sizes = [group.num_parameters for group in self._groups.units]
        self._windows = Windows(assembly.readings, self.trace, sizes, self._device)
        self._measures = Measures(assembly, feed.probing_order)
        self._checksums = WeightChecksums(assembly, self.trace)
        carried: dict[str, Carried] = {
            "strategy": strategy,
            "order": feed.order,
            "probing_order": feed.probing_order,
        }
        self._resumption = Resumption(
            folder, assembly, self.trace, self._windows, carried, self._rng
        )
        self.frozen_unchanged = True

    def run(self) -> None:
        """Probes and trains to the end, or raises Interrupted or Diverged.

        Afterwards `trace` holds what happened and the model the result.
        """
        frozen_before = self._checksums.of_frozen()
        self._start_strategy()
        torch.manual_seed(self._streams.seed("dropout", self._ranks.rank))
        place = self._resumption.restore(lambda text: self._hooks.emit(Noted(text)))
        if place is None:
            self._begin()
        else:
            self._go_on_from(place)
        if self._place.at < 0:
            self._hooks.emit(PhaseBegan("probe"))
            self._probe()
        self._hooks.emit(PhaseBegan("train"))
        if self._place.selected is None:
            self._checksums.record(self._place.at)
        self._train()
        self._checksums.require_finite()
        self._store.sum_counts(self._shards.sum)
        self.frozen_unchanged = self._checksums.of_frozen() == frozen_before

    def _start_strategy(self) -> None:
        context = Context(
            units=self._groups.seen_by_strategy(),
            total_steps=self._config.steps,
            steps_per_epoch=self._order.steps_per_epoch,
            rng=self._rng,
            total_parameters=self._total_parameters,
        )
        if self._strategy.needs.measure:
            context.measure = self._measure
        self._strategy.start(context)

    def _measure(self, statistic: str, **options: object) -> np.ndarray:
        """For the strategy, at any time."""
        self._strategy.needs.require(statistic)
        values, row = self._measures.timed(self._place.at, statistic, **options)
        self.trace.measurements.append(row)
        return values

    def _begin(self) -> None:
        self._record_validation()
        self._store.switch([], [group.name for group in self._groups.always])

    def _go_on_from(self, place: Place) -> None:
        self._place, self._saved_at = place, place.at
        if place.selected is not None:
            self._activate(place.selected)

    def _probe(self) -> None:
        # Parameter gradients of the units only: always-trained parts are not measured.
        self._step.activate([], measured=self._groups.units)
        self._preflight()
        self._windows.restart_clock()
        while self._place.at < 0:
            self._run_step(self._probing_order, lr=None)
            self._fetch_if_due(end=0)
            if self._place.at == 0:
                self._observe(probing=True)
            self._save_if_due()

    def _train(self) -> None:
        self._windows.restart_clock()
        while self._place.at < self._config.steps:
            if self._place.at >= self._place.period_end:
                self._begin_period()
            self._store.counts_survival = (
                self._place.at % SURVIVAL_INTERVAL == SURVIVAL_INTERVAL // 2
            )
            self._place.tick()
            self._run_step(self._order, next_rate(self._config, self._method, self._place))
            end = min(self._place.period_end, self._config.steps)
            self._fetch_if_due(end)
            if self._place.at == end:
                self._observe(probing=False)
                self._checksums.record(self._place.at)
            self._validate_if_due()
            self._save_if_due()

    def _trained_with(self, units: Iterable[int]) -> list[Group]:
        return [*(self._groups.units[unit] for unit in units), *self._groups.always]

    def _activate(self, units: Sequence[int]) -> None:
        needs, observed = self._strategy.needs, self._place.observed
        self._step.activate(*active_groups(self._groups, self._method, units, needs, observed))

    def _begin_period(self) -> None:
        first = self._place.selected is None
        started = self._clock_without_measuring()
        selection = self._strategy.select(self._place.at)
        validate_selection(
            selection,
            len(self._groups.units),
            may_be_empty=self._strategy.may_be_empty
            and bool(self._groups.always or self._method.unselected),
        )
        if selection.starts_sweep:
            self._place.sweep_start = self._place.at
        elif first:
            require_no_sweeps(self._method)
        self.trace.add_selection(self._place.at, selection)
        units = tuple(sorted(int(unit) for unit in selection.units))
        self._ranks.require_same(f"what is selected at step {self._place.at}", units)
        require_clearing(selection, self._method)
        self._place.observed = tuple(sorted(int(unit) for unit in selection.observe))
        with self._account.phase("switch"):
            self._switch(units, selection.restart)
        seconds = self._clock_without_measuring() - started
        self.trace.switches.append(SwitchRow(step=self._place.at, seconds=seconds))
        self._place.begin_period(units, selection.num_steps)
        if first:
            self._preflight()
        self._windows.restart_clock()

    def _clock_without_measuring(self) -> float:
        return synchronised_clock(self._device) - sum(r.seconds for r in self.trace.measurements)

    def _switch(self, units: tuple[int, ...], restart: bool | None) -> None:
        before = set(self._place.selected or ())
        starting: list[Group] = [self._groups.units[unit] for unit in units]
        ending: list[Group] = []
        if self._place.selected is not None:
            ending = ending_groups(self._groups, before, units, restart)
            starting += [group for group in ending if group.unit is None]
        left = state_checksums(self._store, self._trained_with(before), self._shards)
        leaving = [group.name for group in ending]
        if leaving:
            self._store.leave(leaving, self.trace.steps[-1].lr)
        self._store.switch(leaving, [group.name for group in starting])
        taken = state_checksums(self._store, self._trained_with(units), self._shards)
        self.trace.states.append(StateRow(step=self._place.at, left=left, taken=taken))
        self._activate(units)

    def _preflight(self) -> None:
        """On the longest batch, without taking it from the data order."""
        self._batch_steps.preflight(self._order.longest_batch())

    def _run_step(self, order: DataOrder, lr: float | None) -> None:
        period = len(self.trace.selections) - 1
        row = self._batch_steps.run(order.next_batch(), lr, step=self._place.at, period=period)
        self.trace.steps.append(row)
        self._place.at += 1

    def _fetch_if_due(self, end: int) -> None:
        if self._place.at == end or self._windows.is_due(self._place.at):
            self._fetch()

    def _fetch(self) -> None:
        if (read := self._windows.fetch(self._place.at)) is not None:
            self._hooks.emit(
                StepsDone(
                    self._place.at,
                    self._config.steps,
                    read.loss,
                    read.tokens_per_second,
                    allocated_bytes(self._device),
                    read.rows,
                )
            )

    def _observe(self, *, probing: bool) -> None:
        """Hands the strategy everything since the last call, as one table."""
        self._strategy.observe(self._windows.take(self._place.at, probing=probing))

    def _save_if_due(self) -> None:
        """Saves when it is time, when training is done, and when asked to stop."""
        stop = self._ranks.any(self._hooks.should_stop())
        due = self._place.at - self._saved_at >= self._config.checkpoint_every
        if stop or due or self._place.at == self._config.steps:
            self._fetch()
            self._resumption.save(self._place, self._place.at + self._probing_steps)
            self._saved_at = self._place.at
            self._windows.restart_clock()
        if stop:
            raise Interrupted

    def _validate_if_due(self) -> None:
        every = self._config.validate_every
        if self._place.at == self._config.steps or (every and self._place.at % every == 0):
            self._record_validation()
            self._hooks.emit(PhaseBegan("train"))

    def _record_validation(self) -> None:
        loss = self._hooks.validate()
        if loss is not None:
            if not math.isfinite(loss):
                raise Diverged(f"the validation loss is {loss} after {self._place.at} steps")
            self.trace.validation.append(ValidationRow(step=self._place.at, loss=loss))
            self._hooks.emit(Validated(self._place.at, loss))
        self._windows.restart_clock()
