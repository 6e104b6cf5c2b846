"""`tune:` of a suite: the same budget of trials for every method that trains."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from lwft_bench.schema.cell import Cell
from lwft_bench.schema.naming import unknown
from lwft_bench.schema.problems import KeyPath, Locate, Problem, validate
from lwft_bench.schema.suite import Tune
from lwft_bench.suites.changes import Ablation, Assignment, Level, Method, key_path_problems

_ALIKE_FOR_ALL = ("task", "evaluation", "training.steps", "training.stream_seeds")
"""What methods are compared under, and so is not chosen for each."""


@dataclass(frozen=True)
class Candidate:
    """One combination of a grid: its trials, one a tuning seed, and what the cells are if it wins."""

    values: dict[str, Any]
    trials: tuple[Cell, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Tuning:
    """What the trials of one model, method, task and ablation decide between."""

    candidates: tuple[Candidate, ...]

    @property
    def trials(self) -> list[Cell]:
        return [trial for candidate in self.candidates for trial in candidate.trials]

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells as they are with the grid's first values: their ids are the same with any."""
        return self.candidates[0].cells


@dataclass(frozen=True)
class _Grid:
    """Key path -> the values it takes. `path` is that of the grid in the suite."""

    axes: Mapping[str, Sequence[Assignment]]
    path: KeyPath

    def __len__(self) -> int:
        return math.prod(map(len, self.axes.values()))

    def combinations(self) -> Iterator[tuple[Assignment, ...]]:
        return product(*self.axes.values())


@dataclass(frozen=True)
class TuningPlan:
    """What `tune:` says. `steps` is set for trials only; None: a trial's are its cells' own."""

    common: _Grid
    own: Mapping[str, _Grid]
    seeds: tuple[int, ...]
    steps: Assignment | None

    def grid(self, method: str) -> _Grid:
        return self.own.get(method, self.common)


def read_tuning(value: Any, locate: Locate) -> TuningPlan | None:
    """`tune:` as it is written; None if there is none, or none that is valid."""
    if not isinstance(value, dict):
        return None
    tune, _ = validate(Tune, value, locate)  # what is wrong is told of the suite as a whole
    if tune is None:
        return None
    steps = None
    if tune.steps is not None:
        steps = Assignment("training.steps", tune.steps, locate(("tune", "steps")))

    def grid(written: Mapping[str, Sequence[Any]], path: KeyPath) -> _Grid:
        axes = {
            key: [
                Assignment(key, each, locate((*path, key, index)))
                for index, each in enumerate(values)
            ]
            for key, values in written.items()
        }
        return _Grid(axes, path)

    return TuningPlan(
        grid(tune.grid, ("tune", "grid")),
        {name: grid(own, ("tune", "methods", name)) for name, own in tune.methods.items()},
        tune.seeds,
        steps,
    )


def tuning_problems(
    plan: TuningPlan,
    methods: Sequence[Method],
    names: set[str],
    seeds: Sequence[int],
    layers: Sequence[Level],
    ablations: Sequence[Ablation],
    locate: Locate,
) -> Iterator[Problem]:
    """What is wrong with a plan for this suite.

    Args:
        names: Of all methods of the suite, those that could not be read included.
        seeds: The suite's, or those that replace them.
        layers: Overrides and the command line's settings.
    """
    trained = [method for method in methods if method.entry.config.trains]
    untrained = [method.name for method in methods if method not in trained]
    for name, own in plan.own.items():
        if name not in names:
            yield Problem(*locate(own.path), unknown("method of the suite", name, names))
        elif name in untrained:
            yield Problem(*locate(own.path), "this method does not train: there is nothing to tune")
        elif len(own) != len(plan.common):
            yield Problem(
                *locate(own.path),
                f"{len(own)} combinations for method {name!r}, and tune.grid has "
                f"{len(plan.common)}; every method gets as many",
            )
    for grid in (plan.common, *plan.own.values()):
        users = tuple(method.name for method in trained if plan.grid(method.name) is grid)
        yield from _grid_problems(grid, users, methods, layers, ablations, locate)
    for index, seed in enumerate(plan.seeds):
        if seed in seeds:
            yield Problem(
                *locate(("tune", "seeds", index)),
                f"{seed} is a seed of the suite too; tuning needs seeds of its own",
            )


def _grid_problems(
    grid: _Grid,
    users: tuple[str, ...],
    methods: Sequence[Method],
    layers: Sequence[Level],
    ablations: Sequence[Ablation],
    locate: Locate,
) -> Iterator[Problem]:
    for key, values in grid.axes.items():
        for number, assignment in enumerate(values):
            if assignment.value in [earlier.value for earlier in values[:number]]:
                yield Problem(*assignment.place, f"{assignment.value!r} is there twice")
        place = locate((*grid.path, key))
        if any(key == path or key.startswith(f"{path}.") for path in _ALIKE_FOR_ALL):
            yield Problem(*place, "cannot be tuned: it is to be the same for all methods")
            continue
        if users:
            first = (Assignment(key, values[0].value, place),)
            yield from key_path_problems(Level(first, {"method": users}), methods, True)
        for layer in layers:
            if set(users).isdisjoint(layer.selected.get("method", users)):
                continue
            for assignment in layer.assignments:
                if assignment.key == key:
                    yield Problem(*assignment.place, f"{place[1]} decides this value: leave it out")
        for ablation in ablations:
            if ablation.key == key:
                yield Problem(*ablation.place, f"{place[1]} decides this value: leave it out")
