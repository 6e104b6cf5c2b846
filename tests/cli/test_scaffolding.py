"""What `lwft-bench new` writes works as it is."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lwft_bench.cli.commands import app
from lwft_bench.cli.scaffolding import write_plugin
from lwft_bench.plugins.registry import strategies
from lwft_bench.schema.errors import UserError

KINDS = ["strategy", "adapter", "optimizer"]


def test_the_tests_that_are_written_pass_under_pytest(tmp_path: Path):
    folder = tmp_path / "a" / "b"
    for kind in KINDS:
        written = CliRunner().invoke(app, ["new", kind, f"my-{kind}", "--out", str(folder)])
        assert written.exit_code == 0
        assert f"lwft-bench check {kind} {folder / f'my_{kind}.py'}" in written.output
    names = {f"{start}my_{kind}.py" for kind in KINDS for start in ("", "test_")}
    assert {path.name for path in folder.iterdir()} == names
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout
    passed = re.search(r"\b(\d+) passed", ran.stdout)
    assert passed is not None and int(passed[1]) >= 12 * len(KINDS), ran.stdout


@pytest.mark.skipif(find_spec("ruff") is None, reason="ruff comes with the extra `dev`")
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_clean(tmp_path: Path, kind: str):
    """It lints as this package does."""
    plugin, test = write_plugin(kind, "a1-b2", tmp_path)
    ruff = [sys.executable, "-m", "ruff"]
    config = ["--config", str(Path(__file__).parents[2] / "pyproject.toml")]
    for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        ran = subprocess.run(
            [*ruff, *command, *config, str(plugin), str(test)], capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f'("a1-b2")\nclass A1B2({kind.capitalize()}):' in plugin.read_text()


@pytest.mark.parametrize("there", ["mine.py", "test_mine.py"])
def test_nothing_is_overwritten(tmp_path: Path, there: str):
    (tmp_path / there).write_text("precious")
    with pytest.raises(UserError, match=f"{there}: there already"):
        write_plugin("strategy", "mine", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "precious"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "expected lower-case words"),
        ("Mine", "expected lower-case words"),
        ("1st", "expected lower-case words"),
        ("a/b", "expected lower-case words"),
        ("a--b", "expected lower-case words"),
        ('a"', "expected lower-case words"),
        ("none", "None means something in Python"),
        ("random", "random.py would hide a module"),
        ("numpy", "numpy.py would hide a module"),
        ("grass", r"'grass' is taken \(built-in\)"),
        ("selection", "Selection is used in its file"),
    ],
)
def test_bad_names_are_refused(tmp_path: Path, name: str, reason: str):
    with pytest.raises(UserError, match=reason):
        write_plugin("strategy", name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written to"):
        write_plugin("strategy", "mine", tmp_path / "file")


def test_writing_registers_nothing(tmp_path: Path):
    write_plugin("strategy", "mine", tmp_path)
    assert "mine" not in strategies.names()
