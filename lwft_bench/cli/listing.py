"""What there is to name in a suite, and where each comes from: what `lwft-bench list` shows."""

from __future__ import annotations

import ast
import inspect
import os
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lwft_bench.plugins import registry
from lwft_bench.schema.cell import TaskConfig
from lwft_bench.schema.documents import read_document
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.naming import unknown
from lwft_bench.schema.shipped import PACKAGE, shipped
from lwft_bench.suites.architectures import read_architecture
from lwft_bench.suites.entries import SHIPPED_MODELS, method_of_strategy, read_card

_Row = dict[str, Any]
"""Has at least `name`, `title`, `origin` ("built-in", "entry point <distribution>" or a plugin's
path) and `path` (the file, None if unknown)."""


def methods() -> Iterator[_Row]:
    """Shipped cards, and the strategies of plugins that stand for methods by themselves."""
    for path in shipped("methods").values():
        yield _method_row(read_card(MethodConfig, path).config, registry.BUILT_IN, path)
    for name in registry.strategies.names():
        origin = registry.strategies.origin(name)
        if origin != registry.BUILT_IN and name not in shipped("methods"):
            path = Path(origin)
            yield _method_row(method_of_strategy(name), origin, path if path.is_file() else None)


def _method_row(method: MethodConfig, origin: str, path: Path | None) -> _Row:
    return {
        "name": method.name,
        "title": method.title,
        "citation": method.citation,
        "origin": origin,
        "path": str(path) if path else None,
        "strategy": method.strategy.name,
        "adapter": method.adapter.name,
        "always_train": method.always_train,
        "state_policy": method.state_policy,
        "state_on_device": method.state_on_device,
    }


def registered(names: registry.Registry) -> Iterator[_Row]:
    """What is registered; an entry point that does not import says so as its title."""
    for name in names.names():
        origin = names.origin(name)
        if origin == registry.BUILT_IN:
            title, path = _built_in(names.target(name))
        else:
            title, path = _imported(names, name)
        yield {"name": name, "title": title, "origin": origin, "path": path}


def _built_in(target: str) -> tuple[str, str | None]:
    """First line of the docstring, and file, of "module:Class", without the cost of an import."""
    module, _, name = target.partition(":")
    path = PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py")
    classes = (
        node
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and node.name == name
    )
    return (ast.get_docstring(next(classes)) or "").partition("\n")[0], str(path)


def _imported(names: registry.Registry, name: str) -> tuple[str, str | None]:
    try:
        cls = names.get(name)
    except UserError as error:
        return error.message, None
    # Not inspect.getdoc, which falls back on the base class's.
    return inspect.cleandoc(cls.__doc__ or "").partition("\n")[0], inspect.getfile(cls)


def models() -> Iterator[_Row]:
    """The embedded model, and architectures that can be planned."""
    for name in SHIPPED_MODELS:
        yield {
            "name": name,
            "title": "Small language model that ships with the package",
            "origin": registry.BUILT_IN,
            "path": str(PACKAGE / "models" / name),
        }
    for name, path in shipped("architectures").items():
        architecture = read_architecture(name)
        yield {
            "name": name,
            "title": f"{architecture.title}: to plan, not to run",
            "origin": registry.BUILT_IN,
            "path": str(path),
            "parameters": architecture.parameters,
            "source": architecture.source,
        }


def tasks() -> Iterator[_Row]:
    """Cards of tasks."""
    for path in shipped("tasks").values():
        task = read_card(TaskConfig, path).config
        yield {
            "name": task.name,
            "title": f"{task.train_examples} examples of {task.data}, "
            f"{len(task.benchmarks)} benchmarks",
            "origin": registry.BUILT_IN,
            "path": str(path),
            "benchmarks": task.benchmarks,
        }


def benchmarks() -> Iterator[_Row]:
    """Definitions of benchmarks."""
    for name, path in shipped("benchmarks").items():
        value = read_document(path).value
        yield {
            "name": name,
            "title": value["title"],
            "origin": registry.BUILT_IN,
            "path": str(path),
            "version": value["version"],
        }


def suites() -> Iterator[_Row]:
    """Suites that ship."""
    for name, path in shipped("suites").items():
        value = read_document(path).value
        yield {
            "name": name,
            "title": value.get("title", ""),
            "origin": registry.BUILT_IN,
            "path": str(path),
        }


KINDS: dict[str, Callable[[], Iterator[_Row]]] = {
    "methods": methods,
    "strategies": lambda: registered(registry.strategies),
    "adapters": lambda: registered(registry.adapters),
    "optimizers": lambda: registered(registry.optimizers),
    "models": models,
    "tasks": tasks,
    "benchmarks": benchmarks,
    "suites": suites,
}


def rows(kind: str) -> list[_Row]:
    """Everything of one kind.

    Raises:
        UserError: If there is no such kind.
    """
    if kind not in KINDS:
        raise UserError(unknown("kind", kind, KINDS))
    return list(KINDS[kind]())


def list_as_text(listed: list[_Row]) -> str:
    """One line an entry: name, title, origin."""
    width = max((len(row["name"]) for row in listed), default=0)
    return "\n".join(
        f"  {row['name']:<{width}}  {textwrap.shorten(row['title'], 72):<72}  {_shown(row)}"
        for row in listed
    )


def _shown(row: _Row) -> str:
    origin = str(row["origin"])
    return os.path.relpath(origin) if os.path.isabs(origin) else origin
