"""From the entries of a suite to its cells: every combination, with its settings resolved."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pydantic import BaseModel

from lwft_bench.optimizers.base import PRECISIONS_OF_ELEMENTS
from lwft_bench.plugins.registry import optimizers, strategies
from lwft_bench.schema.cell import (
    Cell,
    ChunkUnits,
    EvaluationConfig,
    MethodConfig,
    ModelConfig,
    TaskConfig,
    TrainingConfig,
)
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.problems import KeyPath, Problem, validate
from lwft_bench.suites.cell_ids import labels
from lwft_bench.suites.changes import Ablation, Assignment, Level, Method
from lwft_bench.suites.entries import Entry
from lwft_bench.suites.key_paths import COMPONENTS, METHOD_SETTINGS, component_name
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
    """Every cell of a suite. What is wrong goes to `problems`, and there are no cells then.

    Settings, weakest first: `base` (the suite's training and evaluation), the method card's,
    `overrides`, `ablations`, `changes` (the command line's), what `tuning` tries. `unchecked` are
    sections of `base` that are known to be wrong already.
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

    def expand(self) -> tuple[list[Cell], list[Tuning]]:
        """All cells, models outermost and seeds innermost; those to be tuned in their tunings."""
        cells: list[Cell] = []
        tunings: list[Tuning] = []
        for point in self._points():
            if self.tuning and point.method.entry.config.trains:
                tunings.append(self._tuned(point, self.tuning))
            else:
                cells += self._cells_of(point, self.seeds)
        return ([], []) if self.problems else (cells, tunings)

    def _tuned(self, point: Point, plan: TuningPlan) -> Tuning:
        candidates = []
        for combination in plan.grid(point.method.name).combinations():
            chosen = replace(point, tuned=combination)
            candidates.append(
                Candidate(
                    {assignment.key: assignment.value for assignment in combination},
                    tuple(self._cells_of(replace(chosen, trial=True), plan.seeds)),
                    tuple(self._cells_of(chosen, self.seeds)),
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
        for seed in seeds if point.method.entry.config.trains else (0,):
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
            task, problems = resolve_task(
                task, point.task.folder, lambda path: settings.locate(("task", *path))
            )
            self.problems.extend(problems)
            if point.trial and not task.validation_examples:
                text = "tuning judges by the validation loss; expected at least 1, found 0"
                place = settings.locate(("task", "validation_examples"))
                self.problems.append(Problem(*place, text))
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
                method_values[section] = {"name": name} | options.model_dump(mode="json")
        method, problems = validate(MethodConfig, method_values, settings.locate)
        self.problems.extend(problems)
        training = checked(TrainingConfig, "training")
        if method and method.trains and training and not self.problems:
            self.problems.extend(_impossible(method, training, point.method, settings))
        return {
            "method": method,
            "task": task,
            "training": training,
            "evaluation": checked(EvaluationConfig, "evaluation"),
        }

    def _cell_id(self, point: Point, seed: int) -> str:
        parts = list(point.names.values())
        if point.method.entry.config.trains:
            parts.append(f"seed{seed}")
        parts += labels(point.ablation, [ablation.key for ablation in self.ablations])
        if point.trial:
            tried = labels(point.tuned, [assignment.key for assignment in point.tuned])
            parts += [f"tune-{tried[0]}", *tried[1:]]
        return "--".join(parts)


def _impossible(
    method: MethodConfig, training: TrainingConfig, point: Method, settings: Settings
) -> Iterator[Problem]:
    """Combinations that make no sense, though each part is valid."""
    strategy, adapter = (point.components[section] for section in ("strategy", "adapter"))
    needs = strategies.build(method.strategy).needs
    if needs.suppress and not adapter.can_suppress:
        yield Problem(
            *settings.locate(("adapter",)),
            f"strategy {method.strategy.name!r} measures the loss with units suppressed, which "
            f"adapter {method.adapter.name!r} cannot do; expected one that adds to frozen weights, "
            "e.g. lora",
        )
    if strategy.may_be_empty and not method.always_train:
        yield Problem(
            *settings.locate(("always_train",)),
            f"strategy {method.strategy.name!r} selects no unit, so that nothing would train; "
            "expected parts, e.g. [embed, final_norm, head]",
        )
    if method.unselected is not None:
        yield from _impossible_unselected(method, training, settings)
    if training.steps == 0:
        yield Problem(
            *settings.locate(("training", "steps")),
            "expected at least 1, found 0: the untrained model is the method base",
        )
    kind = point.components["optimizer"].kind
    if kind != "elementwise" and isinstance(method.units, ChunkUnits):
        yield Problem(
            *settings.locate(("units",)),
            f"chunks cut tensors, and the state of optimizer {method.optimizer.name!r} is {kind}; "
            "expected an elementwise one, e.g. adamw",
        )
    if kind != "elementwise" and training.precision in PRECISIONS_OF_ELEMENTS:
        yield Problem(
            *settings.locate(("training", "precision")),
            f"{training.precision} works on single elements, and the state of optimizer "
            f"{method.optimizer.name!r} is {kind}; expected float32 or bf16",
        )
    if kind != "elementwise" and training.state_dtype is not None:
        yield Problem(
            *settings.locate(("training", "state_dtype")),
            f"{training.state_dtype} moments are for optimizers that work on single elements, and the "
            f"state of optimizer {method.optimizer.name!r} is {kind}; expected none given (null)",
        )


def _impossible_unselected(
    method: MethodConfig, training: TrainingConfig, settings: Settings
) -> Iterator[Problem]:
    assert method.unselected is not None
    named = method.unselected.optimizer
    place = settings.locate(("unselected",))
    try:
        rule = optimizers.get(named.name)
    except UserError as error:
        yield Problem(*place, error.message, error.hint)
        return
    noun = f"option of optimizer {named.name!r}"
    _, problems = validate(rule.Options, named.options, lambda _: place, noun)
    yield from problems
    if not rule.stateless:
        yield Problem(
            *place,
            f"optimizer {named.name!r} has state, and units that are not selected have none; expected "
            "sgd or sign",
        )
    if training.precision == "bf16-master" and method.state_policy == "keep":
        yield Problem(
            *place,
            "with bf16-master and state_policy keep, the float32 copies that are kept would undo what "
            "unselected units did meanwhile; expected state_policy reset or restart",
        )


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
