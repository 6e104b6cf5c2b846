"""From the entries of a suite to its cells: every combination, with its settings resolved."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from lwft_bench.schema.cell import Cell, EvaluationConfig, ModelConfig, TaskConfig, TrainingConfig
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.problems import KeyPath, Problem, validate
from lwft_bench.suites.cell_ids import labels
from lwft_bench.suites.changes import Ablation, Assignment, Level, Method
from lwft_bench.suites.entries import Entry
from lwft_bench.suites.impossible import impossible
from lwft_bench.suites.key_paths import COMPONENTS, METHOD_SETTINGS, component_name
from lwft_bench.suites.narrowing import EVERYTHING, Narrowing
from lwft_bench.suites.settings import Setting, Settings, WrittenAt, leaves
from lwft_bench.suites.tasks import resolve_task
from lwft_bench.suites.tuning import Candidate, Tuning, TuningPlan

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True)
class Point:
    """A cell before its seed: one combination, and its values of the ablated options.

    tuned: what trials decide, above everything else that is set. trial: whether it is one of them.
    """

    model: Entry[ModelConfig]
    method: Method
    task: Entry[TaskConfig]
    ablation: tuple[Assignment, ...]
    tuned: tuple[Assignment, ...] = ()
    trial: bool = False

    @property
    def names(self) -> dict[str, str]:
        return {
            "model": self.model.config.name,
            "method": self.method.name,
            "task": self.task.config.name,
        }


@dataclass
class Expansion:
    """The cells of a suite. What is wrong goes to `problems`, and there are no cells then.

    Settings, weakest first: `base` (the suite's training and evaluation), the method card's,
    `overrides`, `ablations`, `changes` (the command line's), what `tuning` tries. `unchecked` are
    sections of `base` that are known to be wrong already. Of the cells whose ids `narrowing` leaves
    out nothing is resolved, and so nothing refused.
    """

    models: Sequence[Entry[ModelConfig]]
    methods: Sequence[Method]
    tasks: Sequence[Entry[TaskConfig]]
    seeds: Sequence[int]
    base: Sequence[Setting]
    overrides: Sequence[Level]
    ablations: Sequence[Ablation]
    changes: Level
    plugins: tuple[str, ...]
    problems: list[Problem]
    unchecked: frozenset[str] = frozenset()
    tuning: TuningPlan | None = None
    narrowing: Narrowing = EVERYTHING
    _tasks: dict[tuple[str, Path], TaskConfig] = field(default_factory=dict)

    def expand(self) -> tuple[list[Cell], list[Tuning]]:
        """All cells, models outermost and seeds innermost; those to be tuned in their tunings."""
        cells: list[Cell] = []
        tunings: list[Tuning] = []
        points = [(point, self._asked(point)) for point in self._points()]
        if points and not any(asked for _, asked in points) and self.narrowing.only is not None:
            self.problems += self._matching_none(points[0][0])
        for point, seeds in points:
            if not seeds and self._seeds(point):
                continue  # where no seeds could be read, the rest is looked at all the same
            if self.tuning and point.method.entry.config.trains:
                tunings.append(self._tuned(point, self.tuning, seeds))
            else:
                cells += self._cells_of(point, seeds)
        return ([], []) if self.problems else (cells, tunings)

    def _seeds(self, point: Point) -> Sequence[int]:
        return self.seeds if point.method.entry.config.trains else (0,)

    def _asked(self, point: Point) -> list[int]:
        """The seeds of the cells that are asked for."""
        return [
            seed
            for seed in self._seeds(point)
            if self.narrowing.matches(self._cell_id(point, seed))
        ]

    def _matching_none(self, point: Point) -> Iterator[Problem]:
        for seed in self._seeds(point)[:1]:
            text = f"matches no cell, such as {self._cell_id(point, seed)}"
            yield Problem("--only", str(self.narrowing.only), text)

    def _tuned(self, point: Point, plan: TuningPlan, seeds: Sequence[int]) -> Tuning:
        """All trials of a point, and of its cells those of the seeds."""
        candidates = []
        for combination in plan.grid(point.method.name).combinations():
            chosen = replace(point, tuned=combination)
            candidates.append(
                Candidate(
                    {assignment.key: assignment.value for assignment in combination},
                    tuple(self._cells_of(replace(chosen, trial=True), plan.seeds)),
                    tuple(self._cells_of(chosen, seeds)),
                )
            )
        return Tuning(tuple(candidates))

    def _points(self) -> Iterator[Point]:
        for model, method, task in itertools.product(self.models, self.methods, self.tasks):
            mine = [
                ablation.assignments()
                for ablation in self.ablations
                if method.entry.config.trains and ablation.key in method.paths
            ]
            for combination in itertools.product(*mine):
                yield Point(model, method, task, combination)

    def _cells_of(self, point: Point, seeds: Sequence[int]) -> Iterator[Cell]:
        resolved = self._resolve(point, self._settings(point))
        if self.problems:
            return
        for seed in seeds:
            yield Cell(
                id=self._cell_id(point, seed),
                model=point.model.config,
                seed=seed,
                ablation={assignment.key: assignment.value for assignment in point.ablation},
                trial={each.key: each.value for each in point.tuned} if point.trial else {},
                plugins=self.plugins,
                **resolved,
            )

    def _settings(self, point: Point) -> Settings:
        settings = Settings()
        for setting in itertools.chain(
            self.base, _task_settings(point.task), _method_settings(point.method)
        ):
            settings.set(setting)
        for assignment in self._assignments(point):
            settings.set(assignment.setting)
        return settings

    def _assignments(self, point: Point) -> Iterator[Assignment]:
        """What is set for a point above its cards, weakest first."""
        overrides = [layer for layer in self.overrides if layer.matches(point.names)]
        layers = [*overrides, Level(point.ablation), self.changes, Level(point.tuned)]
        if point.trial and self.tuning and self.tuning.steps:
            layers.append(Level((self.tuning.steps,)))
        for layer in layers:
            for assignment in layer.assignments:
                if assignment.key in point.method.paths:
                    yield assignment

    def _resolve(self, point: Point, settings: Settings) -> dict[str, Any]:
        """The configurations of a point's cells; whether they are valid `problems` tells."""

        def checked(model: type[_Model], section: str, noun: str = "key") -> _Model | None:
            def locate(path: KeyPath) -> WrittenAt:
                return settings.locate((section, *path))

            if section in self.unchecked:
                return None
            value, problems = validate(model, settings.tree[section], locate, noun)
            self.problems.extend(problems)
            return value

        task = checked(TaskConfig, "task")
        if task is not None:
            task = self._resolved_task(task, point.task.folder, settings)
            if point.trial and not task.validation_examples:
                text = "tuning judges by the validation loss; expected at least 1, found 0"
                place = settings.locate(("task", "validation_examples"))
                self.problems.append(Problem(*place, text))
        found = len(self.problems)
        card = point.method.entry.config
        # The card's training options are in the cell's now; where its sources speak of a value that
        # was replaced, they no longer do.
        method_values = card.model_dump(mode="json") | {"training": {}}
        for assignment in self._assignments(point):
            if assignment.key in card.provenance:
                note = f"Set for this run: {' '.join(assignment.place)}"
                method_values["provenance"][assignment.key] = {"source": "choice", "note": note}
        method_values |= {key: settings.tree[key] for key in METHOD_SETTINGS}
        for section, cls in point.method.components.items():
            name = component_name(card, section)
            options: BaseModel | None = checked(
                cls.Options,
                section,
                f"option of {section} {name!r}",
            )
            if options is not None:
                written = options.model_dump(mode="json")
                method_values[section] = {"name": name} | written
                self.problems.extend(_bad_defaults(cls.Options, written, section, settings))
        method, problems = validate(MethodConfig, method_values, settings.locate)
        self.problems.extend(problems)
        training = checked(TrainingConfig, "training")
        whole = len(self.problems) == found and len(point.method.components) == len(COMPONENTS)
        if method and method.trains and training and whole:
            self.problems.extend(impossible(method, training, point.method, settings))
        return {
            "method": method,
            "task": task,
            "training": training,
            "evaluation": checked(EvaluationConfig, "evaluation"),
        }

    def _resolved_task(self, task: TaskConfig, folder: Path, settings: Settings) -> TaskConfig:
        """Most points have the same task, whose definitions are read once."""
        key = (task.model_dump_json(), folder)
        if key not in self._tasks:
            found, problems = resolve_task(
                task, folder, lambda path: settings.locate(("task", *path))
            )
            self.problems.extend(problems)
            if problems:  # told for every point, each at its own place
                return found
            self._tasks[key] = found
        return self._tasks[key]

    def _cell_id(self, point: Point, seed: int) -> str:
        parts = list(point.names.values())
        if point.method.entry.config.trains:
            parts.append(f"seed{seed}")
        parts += labels(point.ablation, [ablation.key for ablation in self.ablations])
        if point.trial:
            tried = labels(point.tuned, [assignment.key for assignment in point.tuned])
            parts += [f"tune-{tried[0]}", *tried[1:]]
        return "--".join(parts)


def _bad_defaults(
    model: type[BaseModel], values: dict[str, Any], section: str, settings: Settings
) -> Iterator[Problem]:
    """Defaults of a plugin that its own options refuse: they are checked only once they are given."""
    _, problems = validate(model, values, lambda path: settings.locate((section, *path)))
    for problem in problems:
        yield replace(problem, text=f"{problem.text}, which is its default")


def _task_settings(task: Entry[TaskConfig]) -> Iterator[Setting]:
    yield Setting(("task",), {}, task.locate(()))
    for key, value in task.config.model_dump(mode="json").items():
        yield Setting(("task", key), value, task.locate((key,)))


def _method_settings(method: Method) -> Iterator[Setting]:
    card, locate = method.entry.config, method.entry.locate
    for section in COMPONENTS:
        yield Setting((section,), {}, locate((section,)))
        for key, value in getattr(card, section).options.items():
            yield Setting((section, key), value, locate((section, key)))
    values = card.model_dump(mode="json")
    for key in METHOD_SETTINGS:
        yield Setting((key,), values[key], locate((key,)))
    yield from leaves(card.training, ("training",), locate)
