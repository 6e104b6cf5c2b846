"""YAML that knows where everything stands.

Safe loading as in `yaml.safe_load`, with two differences: a key given twice is an error, and `1e-3`
is a number (YAML 1.1 wants `1.0e-3` and reads a string otherwise).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lwft_bench.schema.problems import ConfigError, KeyPath, Problem, format_key


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader and one more resolver."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


@dataclass(frozen=True)
class Document:
    """A parsed file: its value, and the line of every key path in it."""

    name: str
    """The file's path, as messages show it."""
    text: str
    value: Any
    lines: dict[KeyPath, int]

    def where(self, path: KeyPath) -> str:
        """`file:line` of the key path, or of the nearest one above it that stands in the file."""
        while path not in self.lines:
            path = path[:-1]
        return f"{self.name}:{self.lines[path]}"


def read_document(path: Path) -> Document:
    """Read and parse one file.

    Raises:
        ConfigError: If it cannot be read or is no valid YAML.
    """
    name = shown_path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError([Problem(name, "", f"cannot be read: {reason}")]) from error
    return parse_document(text, name)


def parse_document(text: str, name: str) -> Document:
    """Parse YAML text; `name` stands for the file in messages.

    Raises:
        ConfigError: With all duplicate keys, or the place where the YAML breaks.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return Document(name, text, None, {(): 1})
        problems = [
            Problem(f"{name}:{line}", format_key(path), reason)
            for path, line, reason in _bad_keys(node, (), ())
        ]
        if problems:
            raise ConfigError(problems)
        value = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError([Problem(f"{name}:{line}", "", f"not YAML: {error.problem}")]) from error
    except yaml.YAMLError as error:
        raise ConfigError([Problem(name, "", f"not YAML: {error}")]) from error
    finally:
        loader.dispose()
    # After construction, which has put the entries of merge keys (<<) in their places.
    return Document(name, text, value, {(): node.start_mark.line + 1} | dict(_lines(node, ())))


def shown_path(path: Path) -> str:
    """The path relative to the working directory if it lies below it, else absolute."""
    absolute = os.path.abspath(path)
    relative = os.path.relpath(absolute)
    return absolute if relative.startswith(os.pardir) else relative


def _bad_keys(
    node: yaml.Node, path: KeyPath, above: tuple[yaml.Node, ...]
) -> Iterator[tuple[KeyPath, int, str]]:
    if node in above:
        yield path, node.start_mark.line + 1, "an alias to what it stands in"
        return
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            here = (*path, str(key.value))
            line = key.start_mark.line + 1
            if key.value in seen:
                yield here, line, f"given twice: first on line {seen[key.value]}"
            seen[key.value] = line
            yield from _bad_keys(value, here, (*above, node))
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _bad_keys(item, (*path, index), (*above, node))


def _lines(node: yaml.Node, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            yield here, key.start_mark.line + 1
            yield from _lines(value, here)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*path, index), item.start_mark.line + 1
            yield from _lines(item, (*path, index))
