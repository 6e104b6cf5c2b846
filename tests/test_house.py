"""Numbers of the package's structure that must not grow: sizes, names, and folders' borders."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import lwft_bench
from tests.test_architecture import imported

PACKAGE = Path(lwft_bench.__file__).parent
MAX_LINES = 300
MAX_PARAMETERS = 7
INTERFACES = {
    "build",  # of every table and figure of a report
    # Of the two generators of data, and of the texts that each has.
    "BENCHMARKS",
    "TEST",
    "TEST_SEED",
    "TRAINING",
    "Wording",
    "benchmark_items",
    "split_of",
    "training_examples",
    "validation_examples",
}
"""Names that several modules have because they are called alike."""


@cache
def trees() -> dict[str, ast.Module]:
    return {
        path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def defined(tree: ast.Module) -> Iterator[str]:
    """Public names of a module: classes, functions and what is assigned, imports left out."""
    for node in tree.body:
        names = []
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        yield from (name for name in names if not name.startswith("_"))


def num_parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Without `self` and `cls`."""
    arguments = function.args
    positional = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    bound = positional[:1] in (["self"], ["cls"])
    return len(positional) + len(arguments.kwonlyargs) - bound


def test_no_module_is_long():
    lengths = {
        name: len((PACKAGE / name).read_text(encoding="utf-8").splitlines()) for name in trees()
    }
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_a_public_name_stands_in_one_module():
    modules = defaultdict(set)
    for module, tree in trees().items():
        for name in defined(tree):
            modules[name].add(module)
    shared = {name: sorted(where) for name, where in modules.items() if len(where) > 1}
    assert shared.keys() >= INTERFACES, "an interface that is none any more"
    others = {name: where for name, where in shared.items() if name not in INTERFACES}
    assert len(others) <= 10, others


def test_few_functions_have_many_parameters():
    many = [
        f"{module}:{node.lineno}: {node.name} has {num_parameters(node)}"
        for module, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and num_parameters(node) > MAX_PARAMETERS
    ]
    # The options of `run` and `plan`, and the store of optimizer state.
    assert len(many) <= 3, many


def test_no_two_folders_import_each_other():
    """The floors say so too; this one needs no list to be kept."""
    uses = defaultdict(set)
    for module in trees():
        own = module.removesuffix(".py").partition("/")[0]
        uses[own] |= {name.split(".")[1] for _, name in imported(PACKAGE / module)} - {own}
    mutual = [(one, other) for one in uses for other in uses[one] if one in uses.get(other, ())]
    assert mutual == []
