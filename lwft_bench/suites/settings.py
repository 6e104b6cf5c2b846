"""Settings of one cell, layer over layer, each value with the place it was written at."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lwft_bench.schema.problems import KeyPath, Locate, format_key

WrittenAt = tuple[str, str]
"""`file:line` (or a command-line option) and the key path as written there."""


@dataclass(frozen=True)
class Setting:
    """One value for one key path into a resolved cell, such as `training.lr`."""

    path: KeyPath
    value: Any
    place: WrittenAt


@dataclass
class Settings:
    """A tree of values; what is set later wins."""

    tree: dict[str | int, Any] = field(default_factory=dict)
    places: dict[KeyPath, WrittenAt] = field(default_factory=dict)

    def set(self, setting: Setting) -> None:
        node: dict[str | int, Any] = self.tree
        for part in setting.path[:-1]:
            if not isinstance(node.get(part), dict):
                node[part] = {}
            node = node[part]
        node[setting.path[-1]] = copy.deepcopy(setting.value)
        for path in [path for path in self.places if path[: len(setting.path)] == setting.path]:
            del self.places[path]
        self.places[setting.path] = setting.place

    def locate(self, path: KeyPath) -> WrittenAt:
        """The place of a key path.

        That of its own value or of the one it lies in; of a whole section, the last one set in it.
        """
        for length in range(len(path), 1, -1):
            if path[:length] in self.places:
                return _below(self.places[path[:length]], path[length:])
        inside = [place for other, place in self.places.items() if other[: len(path)] == path]
        return inside[-1] if inside else _below(self.places[path[:1]], path[1:])


def _below(place: WrittenAt, path: KeyPath) -> WrittenAt:
    where, key = place
    rest = format_key(path)
    return where, key + (rest if rest.startswith("[") or not rest else f".{rest}")


def leaves(value: dict[str, Any], prefix: KeyPath, locate: Locate) -> Iterator[Setting]:
    """A nested mapping as settings, one for each value that is no mapping."""
    for key, inner in value.items():
        path = (*prefix, key)
        if isinstance(inner, dict) and inner:
            yield from leaves(inner, path, locate)
        else:
            yield Setting(path, inner, locate(path))
