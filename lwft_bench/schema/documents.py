"""YAML that knows where everything stands.

Safe loading as in `yaml.safe_load`, with these differences: a key given twice is an error, `1e-3` is a
number (YAML 1.1 wants `1.0e-3` and reads a string otherwise), a date is the text as it is written, and
values are of JSON's types only. Size, depth and what aliases unfold to have limits.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from lwft_bench.schema.problems import ConfigError, KeyPath, Problem, format_key
from lwft_bench.schema.regular_files import MAX_CONFIG_BYTES, Unreadable, read_text

MAX_DEPTH = 64
"""Of lists and mappings in one another."""

_TOO_DEEP = f"more than {MAX_DEPTH} lists and mappings in one another"

MAX_NODES = 100_000
"""Of a document, each alias unfolded: a few lines of aliases can stand for any number."""

_TAG = "tag:yaml.org,2002:"
_TYPES = ("null", "bool", "int", "float", "str", "seq", "map")
_KEYS = ("null", "bool", "int", "float", "str", "merge")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader with other resolvers, whose every error has a place."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            kind = node.tag.removeprefix(_TAG)
            text = str(node.value)[:40]
            problem = f"{text!r} is no value of type {kind}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)
_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern) for tag, pattern in found if tag not in (f"{_TAG}timestamp", f"{_TAG}value")
    ]
    for first, found in _Loader.yaml_implicit_resolvers.items()
}


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
        text = read_text(path, MAX_CONFIG_BYTES)
    except Unreadable as error:
        where = name if error.line is None else f"{name}:{error.line}"
        raise ConfigError([Problem(where, "", f"cannot be read: {error.reason}")]) from error
    return parse_document(text, name)


def parse_document(text: str, name: str) -> Document:
    """Parse YAML text; `name` stands for the file in messages.

    Raises:
        ConfigError: With all duplicate keys and values of other types, or the place where the YAML
            breaks or goes beyond a limit.
    """
    try:
        _require_depth(_Loader(text))
        loader = _Loader(text)
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_marked(error, text, name)]) from error
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        raise ConfigError([_unmarked(error, text, name)]) from error
    try:
        node = loader.get_single_node()
        if node is None:
            return Document(name, text, None, {(): 1})
        _require_limits(node, (), {})
        problems = [
            Problem(f"{name}:{line}", format_key(path), reason)
            for path, line, reason in _bad_nodes(node, (), ())
        ]
        if problems:
            raise ConfigError(problems)
        value = loader.construct_document(node)
        # After construction, which has put the entries of merge keys (<<) in their places.
        lines = {(): node.start_mark.line + 1} | dict(_lines(node, ()))
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_marked(error, text, name)]) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError([_unmarked(error, text, name)]) from error
    finally:
        loader.dispose()
    return Document(name, text, value, lines)


def shown_path(path: Path) -> str:
    """The path relative to the working directory if it lies below it, else absolute."""
    absolute = os.path.abspath(path)
    relative = os.path.relpath(absolute)
    return absolute if relative.startswith(os.pardir) else relative


def _marked(error: yaml.MarkedYAMLError, text: str, name: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    # A quote or a bracket that is missing may be missed only where the text ends.
    began = error.context_mark.line + 1 if error.context_mark else line
    elsewhere = began != line and "\n" in text.strip()
    inside = f" {error.context}, which begins on line {began}" if elsewhere else ""
    return Problem(f"{name}:{line}", "", f"not YAML: {error.problem}{inside}")


def _unmarked(error: Exception, text: str, name: str) -> Problem:
    if isinstance(error, RecursionError):
        return Problem(name, "", "not YAML that can be read: nested too deeply")
    if isinstance(error, UnicodeEncodeError):
        return Problem(name, "", "not YAML: half a character")
    where = name
    position = getattr(error, "position", None)
    if isinstance(position, int):
        line = text.encode(errors="replace").count(b"\n", 0, position) + 1
        where = f"{name}:{line}"
    return Problem(where, "", f"not YAML: {str(error).splitlines()[0]}")


def _require_depth(loader: Any) -> None:
    """Before nodes are made, which libyaml's binding does by recursion: some ten thousand lists in one
    another overflow the stack, and that ends the process by a signal.

    Raises:
        MarkedYAMLError: the text is deeper, or no YAML.
    """
    depth = 0
    try:
        while loader.check_event():
            event = loader.get_event()
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    raise _beyond(_TOO_DEEP, event)
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    finally:
        loader.dispose()


def _require_limits(node: yaml.Node, above: tuple[yaml.Node, ...], known: dict[int, int]) -> int:
    """How many nodes a node stands for, each alias unfolded. known: of what was counted before.

    Raises:
        MarkedYAMLError: they are too many, or too deep in one another.
    """
    if node in above or isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        if len(above) >= MAX_DEPTH:
            raise _beyond(_TOO_DEEP, node)
        inner = node.value if isinstance(node, yaml.SequenceNode) else chain(*node.value)
        count = 1
        for each in inner:
            count += _require_limits(each, (*above, node), known)
            if count > MAX_NODES:
                # What an alias stands for begins elsewhere.
                place = each if each.start_mark.index > node.start_mark.index else node
                raise _beyond(f"more than {MAX_NODES} values, aliases unfolded", place)
        known[id(node)] = count
    return known[id(node)]


def _beyond(problem: str, place: yaml.Node | yaml.Event) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)


def _bad_nodes(
    node: yaml.Node, path: KeyPath, above: tuple[yaml.Node, ...]
) -> Iterator[tuple[KeyPath, int, str]]:
    if node in above:
        yield path, node.start_mark.line + 1, "an alias to what it stands in"
        return
    kind = node.tag.removeprefix(_TAG)
    if node.tag.startswith(_TAG) and kind not in _TYPES:  # other tags do not load at all
        yield path, node.start_mark.line + 1, f"a value of type {kind}, which nothing here is"
    if node.tag == f"{_TAG}float" and str(node.value).lower() == ".nan":
        yield path, node.start_mark.line + 1, "expected a number, found one that is none"
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.tag.removeprefix(_TAG) not in _KEYS:
                yield path, line, "expected a text as key, found another type"
                continue
            name = _name(key)
            here = (*path, name)
            if name in seen:
                yield here, line, f"given twice: first on line {seen[name]}"
            seen[name] = line
            yield from _bad_nodes(value, here, (*above, node))
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _bad_nodes(item, (*path, index), (*above, node))


def _lines(node: yaml.Node, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, _name(key))
            yield here, key.start_mark.line + 1
            yield from _lines(value, here)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*path, index), item.start_mark.line + 1
            yield from _lines(item, (*path, index))


def _name(key: yaml.ScalarNode) -> str:
    """A key as JSON has it, which has texts alone: `0x10` is "16"."""
    if key.tag in (f"{_TAG}str", f"{_TAG}merge"):
        return str(key.value)
    loader = _Loader("")
    try:
        value = loader.construct_object(key)
    finally:
        loader.dispose()
    return str(next(iter(json.loads(json.dumps({value: 0})))))
