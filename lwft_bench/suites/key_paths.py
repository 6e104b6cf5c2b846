"""Key paths into a resolved cell: what overrides, ablations and `--set` can name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, get_origin

from pydantic import BaseModel

from lwft_bench.plugins.registry import Registry, adapters, optimizers, strategies
from lwft_bench.schema.cell import EvaluationConfig, TaskConfig, TrainingConfig
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.naming import nearest
from lwft_bench.schema.problems import models_in

COMPONENTS: dict[str, Registry] = {
    "adapter": adapters,
    "strategy": strategies,
    "optimizer": optimizers,
}
"""Keys of a method whose options belong to registered classes."""
METHOD_SETTINGS = (
    "always_train",
    "units",
    "state_policy",
    "always_train_state_policy",
    "state_on_device",
    "lr_clock",
    "lr_warmup_after_selection",
    "step_counter",
    "unselected",
)
_SECTIONS: dict[str, type[BaseModel]] = {
    "training": TrainingConfig,
    "evaluation": EvaluationConfig,
    "task": TaskConfig,
}


class KeyPaths:
    """The key paths that can be set for one method, or for several together."""

    def __init__(self, names: frozenset[str], free: tuple[str, ...]) -> None:
        self.names = names
        self._free = free

    def __contains__(self, path: str) -> bool:
        return path in self.names or path.startswith(self._free)

    def __or__(self, other: KeyPaths) -> KeyPaths:
        return KeyPaths(self.names | other.names, self._free + other._free)


_NOTHING = KeyPaths(frozenset(), ())


def key_paths(components: dict[str, type[Any]]) -> KeyPaths:
    """What can be set where these are the adapter, strategy and optimizer classes."""
    found = dict.fromkeys(METHOD_SETTINGS, False) | {"unselected": True, "units": True}
    for section, model in _SECTIONS.items():
        found.update(_fields(model, section))
    for section, cls in components.items():
        found.update(_fields(cls.Options, section))
    found.pop("task.name")
    return KeyPaths(
        frozenset(found), tuple(f"{path}." for path, is_free in found.items() if is_free)
    )


def every_key_path() -> KeyPaths:
    """What can be set for some method, made of whatever is registered."""
    found = _NOTHING
    for section, registry in COMPONENTS.items():
        for name in registry.names():
            with suppress(UserError):  # a broken entry point, which matters to who uses it
                found |= key_paths({section: registry.get(name)})
    return found


def nearest_key_path(key: str, valid: Iterable[str]) -> str | None:
    """The key path that a misspelt one was probably meant to be.

    Of the same section if there is such a one: its name in common makes nothing alike.
    """
    section, _, rest = key.partition(".")
    inside = [path.partition(".")[2] for path in valid if path.startswith(f"{section}.")]
    if not inside:
        return nearest(key, valid)
    close = nearest(rest, inside)
    return f"{section}.{close}" if close else None


def _fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, bool]]:
    """Every field's key path, and whether any key may stand below it."""
    for name, field in model.model_fields.items():
        path = f"{prefix}.{name}"
        yield path, get_origin(field.annotation) is dict
        for inner in models_in(field.annotation):
            yield from _fields(inner, path)


def component_name(method: MethodConfig, section: str) -> str:
    """The registered name of a method's adapter, strategy or optimizer."""
    named: Any = getattr(method, section)
    return str(named.name)
