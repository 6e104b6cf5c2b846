"""What is set for some cells: overrides, ablations and `--set`, and the methods they apply to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from lwft_bench.schema.errors import UserError
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.problems import Problem
from lwft_bench.suites.entries import Entry
from lwft_bench.suites.key_paths import (
    COMPONENTS,
    KeyPaths,
    component_name,
    every_key_path,
    key_paths,
    nearest_key_path,
)
from lwft_bench.suites.settings import Setting, WrittenAt


@dataclass(frozen=True)
class Assignment:
    """A value for a key path as the user wrote it, e.g. `training.lr`."""

    key: str
    value: Any
    place: WrittenAt

    @property
    def setting(self) -> Setting:
        return Setting(tuple(self.key.split(".")), self.value, self.place)


@dataclass(frozen=True)
class Level:
    """Assignments for the cells that match: one override, or all of `--set`.

    `selected` has the names that were given for "model", "method" and "task"; what was not given is
    not in it.
    """

    assignments: tuple[Assignment, ...]
    selected: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def matches(self, names: Mapping[str, str]) -> bool:
        return all(names[key] in chosen for key, chosen in self.selected.items())


@dataclass(frozen=True)
class Ablation:
    """A key path and the values it takes in turn."""

    key: str
    values: tuple[Any, ...]
    place: WrittenAt

    def assignments(self) -> tuple[Assignment, ...]:
        return tuple(Assignment(self.key, value, self.place) for value in self.values)


@dataclass(frozen=True)
class Method:
    """A method of the suite with the classes it is made of, by section ("strategy").

    A section whose name is wrong is not among the components.
    """

    entry: Entry[MethodConfig]
    components: dict[str, type[Any]]

    @property
    def name(self) -> str:
        return self.entry.config.name

    @cached_property
    def paths(self) -> KeyPaths:
        known = key_paths(self.components)
        return known if len(self.components) == len(COMPONENTS) else known | every_key_path()


def find_components(entry: Entry[MethodConfig], problems: list[Problem]) -> Method:
    """Look the method's adapter, strategy and optimizer up."""
    components: dict[str, type[Any]] = {}
    for section, registry in COMPONENTS.items():
        try:
            components[section] = registry.get(component_name(entry.config, section))
        except UserError as error:
            place = entry.locate((section, "name"))
            problems.append(Problem(*place, error.message, error.hint))
    return Method(entry, components)


def key_path_problems(layer: Level, methods: Sequence[Method], all_read: bool) -> Iterator[Problem]:
    """Key paths that no method has, or that a method named beside them has not.

    Args:
        all_read: Whether these are all; if not, one that could not be read may have the key path.
    """
    named = layer.selected.get("method")
    concerned = [method for method in methods if named is None or method.name in named]
    for assignment in layer.assignments:
        lacking = [method for method in concerned if assignment.key not in method.paths]
        if not lacking or (named is None and len(lacking) < len(concerned)):
            continue
        if named is not None:
            for method in lacking:
                valid = method.paths.names
                text = f"method {method.name!r} has no such option"
                yield Problem(*assignment.place, f"{text}; {_wanted(assignment.key, valid)}")
            continue
        valid = frozenset[str]().union(*(method.paths.names for method in lacking))
        if not all_read:
            others = every_key_path()
            if assignment.key in others:
                continue
            valid |= others.names
        text = "no method has such option"
        yield Problem(*assignment.place, f"{text}; {_wanted(assignment.key, valid)}")


def ablation_problems(ablations: Sequence[Ablation], changes: Level) -> Iterator[Problem]:
    """What would put other values into cells than their names say: a cell is called by what is ablated.

    Args:
        changes: The command line's, which stand above what is ablated.
    """
    for ablation in ablations:
        key = ablation.key
        for assignment in changes.assignments:
            if _overlap(assignment.key, key):
                text = f"ablate.{key} gives each cell a value of its own, by which it is called"
                yield Problem(*assignment.place, f"{text}: take one of the two out")
        for other in ablations:
            if other.key != key and key.startswith(f"{other.key}."):
                yield Problem(
                    *ablation.place, f"ablate.{other.key} sets this too", "Take one of them out."
                )


def _overlap(one: str, other: str) -> bool:
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _wanted(key: str, valid: frozenset[str]) -> str:
    close = nearest_key_path(key, valid)
    return f"did you mean {close!r}?" if close else _listed(key, valid)


def _listed(key: str, valid: Iterable[str]) -> str:
    """The valid key paths of the key's section, or the sections."""
    section = key.partition(".")[0]
    inside = sorted(path for path in valid if path.startswith(f"{section}."))
    return f"expected one of {', '.join(inside or sorted({p.partition('.')[0] for p in valid}))}"
