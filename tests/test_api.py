"""The public face: its names, what importing it costs, and the examples of docs/api.md."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import lwft_bench
from lwft_bench import Changes, UserError, load_suite, plan, read_run
from lwft_bench.api import run
from lwft_bench.plugins.registry import strategies

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^## ([^\n]+)\n+```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
ALL_EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
ARITH = ROOT / "reports" / "examples" / "arith"


def test_every_name_is_there_and_is_the_one_that_type_checkers_see():
    tree = ast.parse(Path(lwft_bench.__file__).read_text(encoding="utf-8"))
    (typed,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.name: node.module
        for node in typed.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == lwft_bench._MODULES
    assert sorted(seen) == lwft_bench.__all__
    for name, module in seen.items():
        assert getattr(lwft_bench, name) is getattr(importlib.import_module(module), name)


def test_every_name_is_documented():
    assert [name for name in lwft_bench.__all__ if f"`{name}`" not in PAGE] == []


def test_what_is_not_there_is_no_attribute():
    with pytest.raises(AttributeError, match="no attribute 'Trainer'"):
        lwft_bench.Trainer  # noqa: B018
    assert {"run", "read_run", "__version__"} <= set(dir(lwft_bench))


def test_importing_it_costs_nothing():
    code = (
        "import sys, time; before = time.process_time(); import lwft_bench;"
        "print(time.process_time() - before, *sys.modules)"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    seconds, *loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
    ).stdout.split()
    assert float(seconds) < 0.1  # promised with Python's own start; measured: 0.001
    assert "lwft_bench" in loaded
    heavy = {"torch", "numpy", "pandas", "pydantic", "yaml", "lwft_bench.api"}
    assert not heavy.intersection(loaded)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one, but for the committed examples."""
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "examples").symlink_to(ROOT / "reports" / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("example", ALL_EXAMPLES, ids=lambda text: text.partition("\n")[0])
def test_examples_run(example: str, folder: Path):
    try:
        exec(compile(example, "api.md", "exec"), {"__name__": "__main__"})
    finally:
        if "first-unit" in strategies.names():
            strategies.forget("<interactive>")


def test_there_is_an_example_for_each():
    text = "\n".join(ALL_EXAMPLES)
    assert len(ALL_EXAMPLES) >= 6
    in_plugins = {"Adapter", "Optimizer", "PluginOptions", "register_adapter", "register_optimizer"}
    returned = {"RunFrames", "Suite"}
    for name in {*lwft_bench.__all__} - in_plugins - returned:
        assert re.search(rf"\b{name}\b", text), name
    for body in EXAMPLES.values():
        assert len([line for line in body.splitlines() if line.strip()]) <= 12


def test_a_run_becomes_tidy_frames():
    frames = read_run(ARITH)
    keys = ["cell", "model", "method", "task", "seed"]
    for frame in (frames.cells, frames.scores, frames.samples, frames.steps, frames.selections):
        assert list(frame.columns[:5]) == keys
        assert len(frame)
    assert frames.trials.empty
    cells = frames.cells.set_index("cell")
    assert cells.index.is_unique
    assert not frames.scores.duplicated(["cell", "benchmark"]).any()
    assert not frames.samples.duplicated(["cell", "benchmark", "id"]).any()
    assert not frames.steps.duplicated(["cell", "step"]).any()
    assert not frames.selections.duplicated(["cell", "period", "unit"]).any()
    # What the frames say agrees among them.
    average = frames.scores.groupby("cell")["value"].mean()
    pd.testing.assert_series_equal(average, cells["average"].sort_index(), check_names=False)
    correct = frames.samples.groupby(["cell", "benchmark"])["correct"].mean()
    scores = frames.scores.set_index(["cell", "benchmark"])["value"].sort_index()
    pd.testing.assert_series_equal(correct, scores, check_names=False)
    grass = frames.selections.query("method == 'grass'")
    assert grass.groupby(["cell", "period"])["selected"].sum().eq(2).all()
    assert grass.groupby(["cell", "period"])["probability"].sum().round(9).eq(1).all()
    steps = frames.steps.query("step >= 0").groupby("cell").size()
    trained = cells["training.optimizer_steps"].dropna().astype(int)
    pd.testing.assert_series_equal(steps, trained.sort_index(), check_names=False)


def test_what_is_no_run_is_told(tmp_path: Path):
    with pytest.raises(UserError, match="not a run directory"):
        read_run(tmp_path)


def test_a_suite_is_changed_when_it_is_loaded():
    suite = load_suite("smoke")
    with pytest.raises(TypeError, match="give them to load_suite"):
        plan(suite, changes=Changes(methods=("fft",)))


def test_a_suite_that_can_only_be_planned_is_not_run(tmp_path: Path):
    with pytest.raises(UserError, match="planned, not run"):
        run("paper/memory", tmp_path / "out", changes=Changes(only="*llama-2-7b--lora*"))
    assert not (tmp_path / "out").exists()


def test_a_plan_has_a_row_a_cell():
    suite = load_suite("smoke", Changes(methods=("base", "lisa")))
    table = plan(suite, budget=2**40)
    assert table["id"].tolist() == ["embedded--lisa--arith--seed0"]
    assert table["fits"].all()
    assert table["budget_bytes"].eq(2**40).all()
