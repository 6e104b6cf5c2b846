"""A plugin edited while a run goes on: no cell runs its edit under the old identity."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lwft_bench.results.store import RunStore

pytestmark = [pytest.mark.faults, pytest.mark.timeout(0)]

ROOT = Path(__file__).parents[2]
PLUGIN = '''\
from pathlib import Path

from lwft_bench.strategies import PluginOptions, Selection, Strategy, register


@register("mine")
class Mine(Strategy):
    """One unit; and its author saves an edit while the first cell trains."""

    class Options(PluginOptions):
        pass

    def select(self, step):
        file = Path(__file__)
        if not file.read_text().endswith("# edited\\n"):
            file.write_text(file.read_text().replace("units=[0]", "units=[1]") + "# edited\\n")
        return Selection(units=[0], num_steps=2)
'''
SUITE = """\
name: edited
models: [embedded]
methods: [mine]
tasks: [arith]
seeds: [0, 1]
plugins: [mine.py]
training: {steps: 4, batch_size: 4, lr: 1.0e-3, max_length: 96}
overrides:
  - task: arith
    set: {task.train_examples: 40, task.items_per_benchmark: 2, task.validation_examples: 0}
"""


def run(folder: Path) -> tuple[int, str]:
    command = ["run", str(folder / "suite.yaml"), "--out", str(folder / "out"), "--workers", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "lwft_bench", *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_cells_run_what_their_identity_says_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    (tmp_path / "suite.yaml").write_text(SUITE)
    store = RunStore(tmp_path / "out")

    code, printed = run(tmp_path)
    assert code == 1, printed
    first, second = store.results()
    assert (first.status, second.status) == ("done", "failed")
    assert second.failure is not None
    assert "changed since the run began: strategy" in second.failure.error
    before = first.identity

    code, printed = run(tmp_path)
    assert code == 0, printed
    assert "stale" in printed and "strategy" in printed
    first, second = store.results()
    assert (first.status, second.status) == ("done", "done")
    assert first.identity != before
    assert first.identity_components["strategy"] == second.identity_components["strategy"]
    for result in (first, second):
        _, selections = store.selections(result.cell)
        assert {row.units for row in selections} == {(1,)}

    code, printed = run(tmp_path)
    assert (code, store.results()) == (0, [first, second]), printed
