"""The source files that make a registered class: its results are stale without them."""

from __future__ import annotations

import ast
import importlib.util
import sys
import sysconfig
from collections.abc import Collection, Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import FunctionType, ModuleType

_HARNESS = "lwft_bench"
_INSTALLED = ("site-packages", "dist-packages")


def source_files(name: str, packages: Collection[str], left_out: Collection[str]) -> list[Path]:
    """The files of a module and of what it uses: modules of these packages, and of a plugin whatever it
    imports that is neither installed nor the harness, be it for a class or for a number.

    Which they are does not depend on what happens to be loaded, but for the module itself.

    Args:
        name: Of a module that is loaded.
        left_out: Modules that are passed over.
    """
    waiting = [
        (name, Path(str(sys.modules[name].__file__)), str(sys.modules[name].__package__ or ""))
    ]
    seen: dict[str, Path] = {}
    while waiting:
        name, file, package = waiting.pop()
        if name in seen:
            continue
        seen[name] = file
        for other in sorted(_taken_from(name)):
            if other.rpartition(".")[0] in packages and other not in left_out:
                waiting.append((other, Path(str(sys.modules[other].__file__)), ""))
        if name.partition(".")[0] == _HARNESS:
            continue
        for other in sorted(set(_imported(file, package))):
            found = _found(other)
            if found is not None and found.origin is not None and other not in left_out:
                waiting.append((other, Path(found.origin), found.parent or ""))
    return list(seen.values())


def _taken_from(name: str) -> set[str]:
    """Names of the modules that a loaded module imports or takes classes and functions from."""
    values = vars(sys.modules[name]).values() if name in sys.modules else ()
    return {
        value.__name__ if isinstance(value, ModuleType) else value.__module__
        for value in values
        if isinstance(value, ModuleType | FunctionType | type)
    } & sys.modules.keys()


def _imported(file: Path, package: str) -> Iterator[str]:
    """Names that its import statements may mean modules by, those within functions too."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")
            parts = above[: len(above) - node.level + 1] if node.level else []
            parts = [*parts, *filter(None, [node.module])]
            yield ".".join(parts)
            yield from (".".join([*parts, alias.name]) for alias in node.names)


def _found(name: str) -> ModuleSpec | None:
    """A module of Python code that a person can edit, found without importing it or its packages."""
    top, *below = name.split(".")
    if not top or top == _HARNESS:
        return None
    try:
        spec = importlib.util.find_spec(top)
        for number in range(len(below)):
            if spec is None or spec.submodule_search_locations is None:
                return None
            inner = ".".join([top, *below[: number + 1]])
            spec = PathFinder.find_spec(inner, spec.submodule_search_locations)
    # What a finder that somebody installed raises is its own affair; so is a module without a spec.
    except Exception:
        return None
    if spec is None or spec.origin is None or not spec.has_location:
        return None
    return spec if _is_edited(Path(spec.origin)) else None


def _is_edited(file: Path) -> bool:
    if file.suffix != ".py" or not set(_INSTALLED).isdisjoint(file.parts):
        return False
    standard = Path(sysconfig.get_path("stdlib")).resolve()
    return standard not in file.resolve().parents
