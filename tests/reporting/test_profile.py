"""Scores of units by task, over one run or several."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from typer.testing import CliRunner

from lwft_bench.cli.commands import app
from lwft_bench.reporting.figures.profile import profiles
from lwft_bench.reporting.read.records import read_run
from lwft_bench.reporting.report import write_profile, write_report
from lwft_bench.schema.errors import UserError

if TYPE_CHECKING:
    from conftest import RunMaker

RISING = [1.0, 2, 3, 4, 5, 6, 7, 8]
PNG = b"\x89PNG\r\n\x1a\n"


def add(maker: RunMaker, seed: int, task: str, scores: list[list[float]], name: str = "g") -> None:
    cell = maker.add(maker.method(name, 0.5, num_active=2), seed, model=f"tiny-{task}")
    for file in ("result.json", "config.json"):
        record = json.loads((cell / file).read_text())
        if file == "result.json":
            record |= {"task": task, "model": "tiny"}
        else:
            record["task"]["name"], record["model"]["name"] = task, "tiny"
        (cell / file).write_text(json.dumps(record))
    header, *_ = (cell / "selections.jsonl").read_text().splitlines()
    rows = [
        {"step": step, "num_steps": 1, "units": [0, 1], "scores": own}
        for step, own in enumerate(scores)
    ]
    lines = [header, *map(json.dumps, rows)]
    (cell / "selections.jsonl").write_text("".join(f"{line}\n" for line in lines))


def test_profiles_are_relative_means_over_periods(maker: RunMaker) -> None:
    add(maker, 0, "arith", [RISING, [1.0] * 8])
    add(maker, 1, "arith", [[1e6 * score for score in RISING]])
    add(maker, 0, "commonsense", [RISING[::-1]])
    add(maker, 0, "arith", [RISING], name="one-task")
    add(maker, 0, "arith", [[-1.0, *RISING[1:]]], name="below-0")
    maker.add(maker.method("no-scores", 0.5, num_active=2), 0)
    records = read_run(maker.finish())
    (tasks,) = profiles([records]).values()
    assert list(tasks) == ["tiny on arith", "tiny on commonsense"]
    names, seeds = tasks["tiny on arith"]
    assert names == [str(layer) for layer in range(8)]
    both = np.array([RISING, [1.0] * 8]).mean(axis=0)
    assert seeds == pytest.approx(np.array([both / both.mean(), np.array(RISING) / 4.5]))
    assert not profiles([records], ["no-scores"])
    assert not profiles([records], ["below-0"])
    assert list(profiles([records], ["one-task"])) == ["one-task"]


def test_two_runs_make_one_figure(tmp_path: Path, maker: RunMaker) -> None:
    other = type(maker)(tmp_path / "other")
    add(maker, 0, "arith", [RISING])
    add(other, 0, "commonsense", [RISING[::-1]])
    runs = [maker.finish(), other.finish()]
    out = tmp_path / "new" / "profile.png"
    assert "MGN" in write_profile(runs, out)
    assert out.read_bytes().startswith(PNG)
    out.unlink()
    done = CliRunner().invoke(app, ["profile", *map(str, runs), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert out.exists()
    with pytest.raises(UserError, match="recorded scores"):
        write_profile(runs, out, ["lisa"])


def test_a_run_with_two_tasks_has_it_in_its_report(maker: RunMaker) -> None:
    add(maker, 0, "arith", [RISING])
    add(maker, 0, "commonsense", [RISING[::-1]])
    text = write_report(maker.finish()).read_text()
    assert "## Layers by task" in text
    assert (maker.folder / "figures" / "profile.png").read_bytes().startswith(PNG)
