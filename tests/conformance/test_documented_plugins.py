"""The plugins of the documentation, and the classes for pytest that its authors subclass."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lwft_bench import Changes, load_suite, plan, run
from lwft_bench.cli.commands import app
from lwft_bench.plugins.registry import REGISTRIES
from lwft_bench.suites.identity import identify
from lwft_bench.testing import AdapterTests, OptimizerTests, StrategyTests

DOCS = Path(__file__).parents[2] / "docs"
FILES = {"strategy": "my_lisa.py", "adapter": "my_norms.py", "optimizer": "my_lion.py"}


@pytest.fixture(scope="module", autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    for registry in REGISTRIES:
        for file in FILES.values():
            registry.forget(str(DOCS / file))


class TestMyLisa(StrategyTests):
    file = DOCS / "my_lisa.py"
    name = "my-lisa"
    options = {"num_active": 4}


class TestMyNorms(AdapterTests):
    file = DOCS / "my_norms.py"
    name = "my-norms"


class TestMyLion(OptimizerTests):
    file = DOCS / "my_lion.py"
    name = "my-lion"


def test_documented_files_are_the_ones_shown():
    shown = (DOCS / "plugins.md").read_text(encoding="utf-8")
    for file in FILES.values():
        assert f"```python\n{(DOCS / file).read_text(encoding='utf-8')}```" in shown
    assert f"```yaml\n{(DOCS / 'my_suite.yaml').read_text(encoding='utf-8')}```" in shown
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    assert f"```python\n{(DOCS / 'my_lisa.py').read_text(encoding='utf-8')}```" in readme


@pytest.mark.parametrize("kind", FILES)
def test_the_command_checks_each_kind(kind: str):
    checked = CliRunner().invoke(app, ["check", kind, str(DOCS / FILES[kind])])
    assert checked.exit_code == 0, checked.output
    name = FILES[kind].removesuffix(".py").replace("_", "-")
    assert checked.output.startswith(f"{name}\n")


@pytest.mark.parametrize("kind", ["adapter", "optimizer"])
def test_a_file_that_registers_another_kind_is_told(kind: str):
    checked = CliRunner().invoke(app, ["check", kind, str(DOCS / "my_lisa.py")])
    assert checked.exit_code == 1
    assert f"registers no {kind}" in str(checked.exception)
    assert f"@register_{kind}" in str(checked.exception)


def test_a_class_that_fails_a_check_fails_one_test_and_says_what(tmp_path: Path):
    text = (DOCS / "my_lisa.py").read_text(encoding="utf-8").replace("my-lisa", "bad")
    text = "import numpy\n" + text.replace("self.context.rng.choice", "numpy.random.choice")
    (tmp_path / "bad.py").write_text(text)
    lines = ["from lwft_bench.testing import StrategyTests", "", "class TestBad(StrategyTests):"]
    lines += ['    file = "bad.py"', '    name = "bad"']
    (tmp_path / "test_bad.py").write_text("\n".join(lines))
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 1
    assert "10 passed" in ran.stdout and "3 failed" in ran.stdout, ran.stdout
    assert "is deterministic: two runs with seed 0 differ" in ran.stdout


def test_the_documented_suite_is_planned():
    changes = Changes(methods=("my-lisa", "norms", "fft-lion"), settings=("training.batch_size=2",))
    table = plan(DOCS / "my_suite.yaml", changes=changes).set_index("method")
    assert table["peak_bytes"].notna().all()
    # Lion has one moment an element, and the norms are few.
    state = table["components.optimizer_state"]
    assert state["fft-lion"] == pytest.approx(
        4 * table.loc["fft-lion", "total_parameters"], rel=0.01
    )
    assert table.loc["norms", "trained_parameters"] < 10_000


def test_plugins_of_all_kinds_enter_identities():
    cells = {cell.method.name: cell for cell in load_suite(str(DOCS / "my_suite.yaml")).cells}
    sources = {name: identify(cell).components for name, cell in cells.items()}
    for name in ("my-lisa", "norms", "fft-lion"):
        assert sources[name]["strategy"] != sources["fft"]["strategy"]


@pytest.mark.slow
def test_the_documented_suite_runs(tmp_path: Path):
    frames = run(DOCS / "my_suite.yaml", tmp_path / "out")
    assert frames.cells["status"].tolist() == ["done"] * 4
    assert frames.cells["engagement.passed"].all()
