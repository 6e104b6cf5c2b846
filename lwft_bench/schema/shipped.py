"""Where shipped cards and suites are, and how a name or a path becomes a file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import lwft_bench

Kind = Literal["methods", "suites", "tasks", "benchmarks", "architectures"]

STATEMENTS = ("claims", "tables")
"""Names of files beside suites that are none: they speak of runs that are there."""

PACKAGE = Path(lwft_bench.__file__).parent
INSIDE: dict[Kind, Path] = {
    "tasks": PACKAGE / "data" / "tasks",
    "benchmarks": PACKAGE / "data" / "benchmarks",
    "architectures": PACKAGE / "models" / "architectures",
}


def shipped_folder(kind: Kind) -> Path:
    """The folder of a kind's shipped YAML files.

    methods/ and suites/ stand beside the package in a checkout and inside it in a wheel.
    """
    if kind in INSIDE:
        return INSIDE[kind]
    installed = PACKAGE / "_shipped"
    return (installed if installed.is_dir() else PACKAGE.parent) / kind


def shipped(kind: Kind) -> dict[str, Path]:
    """Name -> file, sorted by name. A file in a subfolder is named with it: `paper/memory`."""
    folder = shipped_folder(kind)
    files = {
        path.relative_to(folder).with_suffix("").as_posix(): path for path in folder.rglob("*.yaml")
    }
    if kind == "suites":
        files = {name: path for name, path in files.items() if path.stem not in STATEMENTS}
    return dict(sorted(files.items()))


def shipped_statements(stem: str) -> dict[str, Path]:
    """Name -> file of shipped tables or claims, one a folder of suites: `paper/claims`."""
    folder = shipped_folder("suites")
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in sorted(folder.rglob(f"{stem}.yaml"))
    }


def is_path(text: str) -> bool:
    """Whether an entry is written as the path of a YAML file rather than as a name."""
    return text.endswith((".yaml", ".yml"))
