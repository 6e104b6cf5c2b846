"""Suites written on the spot, in a working directory of the test's own."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from lwft_bench.plugins import registry
from lwft_bench.schema.problems import ConfigError
from lwft_bench.suites.loading import Changes, load_suite
from tests.suites.writing import Problems, Write


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _plugins_forgotten(tmp_path: Path) -> Iterator[None]:
    yield
    for each in registry.REGISTRIES:
        for path in tmp_path.rglob("*.py"):
            each.forget(str(path.resolve()))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file below the working directory."""

    def write_file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"))
        return Path(name)

    return write_file


@pytest.fixture
def problems(write: Write) -> Problems:
    """The problems of a suite's text, each as the line that is shown; `suite.yaml` is its name."""

    def find(text: str, changes: Changes | None = None) -> list[str]:
        write("suite.yaml", text)
        with pytest.raises(ConfigError) as caught:
            load_suite("suite.yaml", changes)
        return [str(problem) for problem in caught.value.problems]

    return find
