"""What each cell of a suite will need, from the trainer's own step on fake tensors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from lwft_bench.dry_run.fake_cell import fake_cell
from lwft_bench.dry_run.planned_selections import PlannedSelections, planned_selections
from lwft_bench.dry_run.steps import BatchShape, longest
from lwft_bench.dry_run.traits import traits_of
from lwft_bench.memory.fake_mode import NOT_TRACEABLE
from lwft_bench.models.loading import require_shape
from lwft_bench.models.parts import find_parts
from lwft_bench.planning.batches import PlannedBatch, planned_batch
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import described
from lwft_bench.training.adapted import empty_adapted_model
from lwft_bench.training.groups import Groups, make_groups

NUM_SAMPLES = 2
"""Selections between the extremes whose step is run."""

STEPS_FOR_ALIKE = 3
"""Of micro-batches of one shape: the first finds no gradients, the last updates, and the second
shows what those between need."""

_IRRELEVANT_TO_METHODS = {"name", "title", "citation", "description", "provenance", "unknown"}
_IRRELEVANT_TO_TRAINING = {
    "lr",
    "schedule",
    "warmup_steps",
    "stream_seeds",
    "validate_every",
    "checkpoint_every",
    "device",
    "threads",
    "steps",
    "max_length",
    "loss_on",
    "batch_size",
    "micro_batch_size",
}
"""What takes no memory, or is in the batch's shapes."""

_OF_BATCHES = {
    "max_length",
    "loss_on",
    "batch_size",
    "micro_batch_size",
    "batching",
    "max_tokens",
    "sharded",
}


@dataclass(frozen=True, slots=True)
class Spread:
    """Over the selections whose step was run; the mean over the typical ones."""

    minimum: int
    mean: float
    maximum: int


@dataclass(frozen=True, slots=True)
class Needed:
    """What a cell needs. Bytes are on the device where nothing else is said.

    peak_bytes: of the whole run, the switches and probing included. step_peaks: of one step.
    rounded_peak_bytes: with every tensor rounded to the allocator's blocks. components: at the
    instant of the peak; they add up to it. host_bytes: state kept there; allocated: as the allocator
    for pinned memory rounds it. moved_bytes: between host and device each way together, a step.
    trained_parameters: of all units that may be visited. active: of one step.
    """

    peak_bytes: int
    step_peaks: Spread
    rounded_peak_bytes: int
    phases: dict[str, int]
    components: dict[str, int]
    component_peaks: dict[str, int]
    host_bytes: int
    host_bytes_allocated: int
    moved_bytes: Spread
    flops: Spread
    active_parameters: Spread
    trained_parameters: int
    total_parameters: int
    num_selections: int


@dataclass(frozen=True, slots=True)
class CellPlan:
    """needed: None where the cell cannot be run on fake tensors, and `problem` says why. even_choices:
    shapes depend on what routers choose, which stands at an even choice here.
    """

    cell: Cell
    batch: PlannedBatch
    drawn: PlannedSelections
    needed: Needed | None
    problem: str | None = None
    even_choices: bool = False


class Planner:
    """Plans cells, each kind once: cells that differ in nothing that takes memory are one kind."""

    def __init__(self, num_samples: int = NUM_SAMPLES) -> None:
        self._num_samples = num_samples
        self._known: dict[str, Needed | str] = {}
        self._units: dict[str, tuple[Groups, int]] = {}
        self._batches: dict[str, PlannedBatch] = {}

    def plan(self, cell: Cell) -> CellPlan:
        """The plan of a cell that trains.

        Raises:
            UserError: The model's config cannot be found or lacks a field.
        """
        batch, drawn = self._batch(cell), self.draws(cell)
        traits = traits_of(cell, longest(batch.shapes))
        if problem := traits.problem or cell.training.unplannable:
            return CellPlan(cell, batch, drawn, None, problem)
        total = self._groups(cell)[1]
        of_draws = [drawn.selections, drawn.visited, drawn.observed, drawn.needs]
        key = _text([_relevant(cell), batch.shapes, *of_draws])
        if key not in self._known:
            try:
                self._known[key] = needed(cell, batch.shapes, drawn, total)
            except NOT_TRACEABLE as error:
                self._known[key] = described(error)
        found = self._known[key]
        if isinstance(found, str):
            return CellPlan(cell, batch, drawn, None, found)
        return CellPlan(cell, batch, drawn, found, even_choices=traits.even_choices)

    def draws(self, cell: Cell) -> PlannedSelections:
        """The selections whose step is run."""
        groups, total = self._groups(cell)
        units = groups.seen_by_strategy()
        steps = cell.training.steps
        return planned_selections(cell.method, units, steps, self._num_samples, total)

    def kind(self, cell: Cell) -> str:
        """Cells of one kind need the same, whatever is changed in them alike."""
        return _text([_relevant(cell), self._batch(cell).shapes, cell.method.strategy.model_dump()])

    def _batch(self, cell: Cell) -> PlannedBatch:
        training = cell.training.model_dump(mode="json", include=_OF_BATCHES)
        key = _text([cell.model.model_dump(mode="json"), _data(cell), training])
        if key not in self._batches:
            self._batches[key] = planned_batch(cell)
        return self._batches[key]

    def _groups(self, cell: Cell) -> tuple[Groups, int]:
        """On the meta device: what the strategy chooses among; and the model's parameters."""
        method = cell.method.model_dump(mode="json", include={"adapter", "always_train", "units"})
        shapes = self._batch(cell).shapes
        key = _text([cell.model.model_dump(mode="json"), method, longest(shapes)])
        if key not in self._units:
            require_shape(cell.model)
            adapter, model = empty_adapted_model(cell)
            untrained = traits_of(cell, longest(shapes)).without_gradient
            groups = make_groups(model, find_parts(model), cell.method, adapter, untrained)
            self._units[key] = groups, adapter.num_parameters(model)
        return self._units[key]


def needed(
    cell: Cell, shapes: Sequence[BatchShape], drawn: PlannedSelections, total_parameters: int
) -> Needed:
    """Runs the trainer's own steps on fake tensors."""
    run, idle = _distinct(shapes)
    with fake_cell(cell, run, idle=idle) as fake:
        costs = fake.follow(drawn)
        groups, store = fake.assembly.groups, fake.assembly.store
        report = fake.account.report()
        peaks = {units: report.phases[str(n)] for n, units in enumerate(drawn.selections)}
        flops = {units: cost.flops * len(shapes) // len(run) for units, cost in costs.items()}
        moved = {units: cost.moved_bytes for units, cost in costs.items()}
        always = sum(group.num_parameters for group in groups.always)
        sizes = [group.num_parameters for group in groups.units]
        active = {units: always + sum(sizes[u] for u in units) for units in drawn.selections}
        trained = range(len(sizes)) if cell.method.unselected else drawn.visited
        return Needed(
            peak_bytes=report.peak_bytes,
            step_peaks=_spread(peaks, drawn),
            rounded_peak_bytes=report.rounded_peak_bytes,
            phases=by_phase(report.phases),
            components=report.components,
            component_peaks=report.component_peaks,
            host_bytes=report.host_peak_bytes,
            host_bytes_allocated=store.host_bytes_allocated,
            moved_bytes=_spread(moved, drawn),
            flops=_spread(flops, drawn),
            active_parameters=_spread(active, drawn),
            trained_parameters=always + sum(sizes[unit] for unit in trained),
            total_parameters=total_parameters,
            num_selections=len(drawn.selections),
        )


def _distinct(shapes: Sequence[BatchShape]) -> tuple[list[BatchShape], list[BatchShape]]:
    """Micro-batches to run, and those whose like are among them."""
    run: list[BatchShape] = []
    idle: list[BatchShape] = []
    for _, alike in groupby(shapes):
        same = list(alike)
        run += same[:STEPS_FOR_ALIKE]
        idle += same[STEPS_FOR_ALIKE:]
    return run, idle


def _spread(values: dict[tuple[int, ...], int], drawn: PlannedSelections) -> Spread:
    typical = [values[units] for units in drawn.typical]
    return Spread(min(values.values()), sum(typical) / len(typical), max(values.values()))


def by_phase(phases: dict[str, int]) -> dict[str, int]:
    """The peak of each phase, in whichever selection's step it was; selections are named by numbers."""
    found: dict[str, int] = {}
    for path, peak in phases.items():
        name = path.rpartition("/")[2]
        if not name.isdecimal():
            found[name] = max(peak, found.get(name, 0))
    return found


def _relevant(cell: Cell) -> dict[str, Any]:
    """All of a cell that its memory and arithmetic depend on, beside batches and selections."""
    return {
        "model": cell.model.model_dump(mode="json", exclude={"name", "tokenizer"}),
        "method": cell.method.model_dump(
            mode="json", exclude={*_IRRELEVANT_TO_METHODS, "strategy", "training", "lr_clock"}
        ),
        "training": cell.training.model_dump(mode="json", exclude=_IRRELEVANT_TO_TRAINING),
    }


def _data(cell: Cell) -> dict[str, Any]:
    return cell.task.model_dump(mode="json", exclude={"benchmarks", "items_per_benchmark"})


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=repr)
