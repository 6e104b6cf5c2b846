"""Borders between the parts that no type checker sees."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import lwft_bench
from lwft_bench.plugins import registry
from lwft_bench.schema.shipped import shipped

PACKAGE = Path(lwft_bench.__file__).parent
FLOORS = (
    ("__init__", "__main__"),
    ("cli", "api"),
    ("testing",),
    ("selftest",),
    ("execution",),
    ("timing",),
    ("planning",),
    ("preflight",),
    ("cell",),
    ("dry_run",),
    ("training",),
    ("suites",),
    ("state",),
    ("strategies", "adapters", "optimizers"),
    ("evaluation",),
    ("models",),
    ("reporting",),
    ("data",),
    ("results",),
    ("plugins",),
    ("memory",),
    ("schema",),
)
FLOOR = {folder: number for number, folders in enumerate(FLOORS) for folder in folders}
"""From the top: a folder imports only what stands on a lower floor, and nothing beside it."""


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything of this package that a file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from ((node.lineno, name) for name in names if name.startswith("lwft_bench."))


def offences(package: Path) -> list[str]:
    found = []
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package)
        own = place.with_suffix("").parts[0]
        for line, name in imported(path):
            folder = name.split(".")[1]
            if folder in ("__version__", own):
                continue
            if FLOOR.get(folder, -1) <= FLOOR[own]:
                found.append(f"{place}:{line}: {own} imports {name}")
    return found


def test_imports_go_down_only() -> None:
    assert offences(PACKAGE) == []


def test_an_import_that_goes_up_or_sideways_is_seen(tmp_path: Path) -> None:
    lines = {
        "schema/up.py": "def f():\n    from lwft_bench.data import items\n",
        "adapters/sideways.py": "from lwft_bench.optimizers.base import Optimizer\n",
        "memory/typing_only.py": "if TYPE_CHECKING:\n    import lwft_bench.training.step\n",
        "training/down.py": "from lwft_bench.data.batching import Batch\n",
        "cell/public.py": "from lwft_bench import read_run\n",
    }
    for name, text in lines.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert offences(tmp_path) == [
        "adapters/sideways.py:1: adapters imports lwft_bench.optimizers.base.Optimizer",
        "cell/public.py:1: cell imports lwft_bench.read_run",
        "memory/typing_only.py:2: memory imports lwft_bench.training.step",
        "schema/up.py:2: schema imports lwft_bench.data.items",
    ]


NEUTRAL = ("training", "dry_run", "planning", "memory", "state")
COMMON_WORDS = {"all", "base", "full"}


def test_the_trainer_knows_no_method_by_name() -> None:
    names = {*shipped("methods"), *registry.strategies.names(), *registry.adapters.names()}
    pattern = re.compile(rf"\b({'|'.join(sorted(names - COMMON_WORDS))})\b", re.IGNORECASE)
    found = [
        f"{path.name}:{number}: {line.strip()}"
        for folder in NEUTRAL
        for path in (PACKAGE / folder).glob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line) or "lora_" in line
    ]
    assert not found


def test_no_module_is_named_for_nothing() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert not [path for path in PACKAGE.rglob("*.py") if path.stem in vague]
