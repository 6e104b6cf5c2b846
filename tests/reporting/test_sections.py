"""The one list of sections, and the floors that reporting is built on."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import lwft_bench.reporting
from lwft_bench.reporting.sections import SECTIONS

ROOT = Path(lwft_bench.reporting.__file__).parent
NAMED = [
    *(f"tables.{section.table}" for section in SECTIONS if section.table),
    *(f"figures.{name}" for section in SECTIONS for name in section.figures),
]
FLOORS = ("read", "numbers", "render", "tables", "figures", "html", "paper", "")
"""From the ground; "" is what lies in `reporting` itself. Tables and figures import each other not."""


@pytest.mark.parametrize("name", NAMED)
def test_each_table_and_figure_is_built_from_the_context(name: str) -> None:
    build = import_module(f"lwft_bench.reporting.{name}").build
    assert list(inspect.signature(build).parameters) == ["context"]
    assert inspect.get_annotations(build)["context"] == "Context"


def test_what_can_be_built_is_in_a_section() -> None:
    """A table or figure that stands in no section would never be seen."""
    builders = {
        f"{path.parent.name}.{path.stem}"
        for folder in ("tables", "figures")
        for path in (ROOT / folder).glob("*.py")
        if "\ndef build(" in path.read_text(encoding="utf-8")
    }
    assert builders == set(NAMED)


def test_nothing_imports_from_a_floor_above() -> None:
    upward = []
    for path in sorted(ROOT.rglob("*.py")):
        floor = path.relative_to(ROOT).parent.as_posix().replace(".", "")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                _, _, imported = node.module.partition("lwft_bench.reporting.")
                other = imported.partition(".")[0]
                other = other if (ROOT / other).is_dir() else ""
                if imported and not _may_import(floor, other):
                    upward.append(f"{path.relative_to(ROOT)}:{node.lineno} imports {node.module}")
    assert not upward


def _may_import(floor: str, other: str) -> bool:
    if {floor, other} == {"tables", "figures"}:
        return False
    return FLOORS.index(other) <= FLOORS.index(floor)


def test_a_table_needs_neither_torch_nor_a_plotting_library() -> None:
    code = (
        "import sys; from lwft_bench.reporting import report, sections; "
        "[__import__(f'lwft_bench.reporting.tables.{one.table}') "
        "for one in sections.SECTIONS if one.table]; "
        "print({'torch', 'transformers', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
