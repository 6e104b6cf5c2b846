"""The files that pin versions say what pyproject.toml allows."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = ("ctranslate2", "optimizers", "qlora", "gguf", "test")
"""What the tests of the default run need."""
WITHOUT_BOUND = {"click", "pyparsing"}


def requirements() -> Iterator[Requirement]:
    """Of the package and of its tests."""
    lists = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][one] for one in EXTRAS)]
    for requirement in map(Requirement, {line for lines in lists for line in lines}):
        if requirement.name != PROJECT["name"]:
            yield requirement


def pins(path: Path) -> dict[str, Version]:
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, version = line.partition("==")
            found[name] = Version(version)
    return found


def test_the_lowest_versions_are_the_bounds() -> None:
    bounds = {
        one.name: Version(part.version)
        for one in requirements()
        for part in one.specifier
        if part.operator == ">="
    }
    lowest = pins(ROOT / "constraints-lowest.txt")
    assert {name: lowest[name] for name in lowest if name not in WITHOUT_BOUND} == bounds


def test_the_versions_that_are_tested_are_allowed() -> None:
    tested = pins(ROOT / "constraints.txt")
    for one in requirements():
        if one.name in tested:
            assert one.specifier.contains(tested[one.name]), one


def test_wheels_for_the_device_check_are_the_tested_ones() -> None:
    tested = pins(ROOT / "constraints.txt")
    carried = pins(ROOT / "benchmarks" / "device" / "wheels.txt")
    for name in carried.keys() & tested.keys():
        assert carried[name] == tested[name]
    assert carried.keys() - tested.keys() == {"liger-kernel"}
