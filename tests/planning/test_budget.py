"""Sizes, what fits, and the smallest change that makes a cell fit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lwft_bench.planning.budget import Allowance, fits, parse_size, smallest_change
from lwft_bench.planning.plan import Needed, Planner
from lwft_bench.planning.plan_figure import draw_plan
from lwft_bench.planning.plan_text import as_text
from lwft_bench.planning.suite_plan import as_json, plan_suite
from lwft_bench.planning.verification import verify_plan
from lwft_bench.schema.errors import UserError
from lwft_bench.suites.loading import load_suite
from tests.dry_run.test_traits import DBRX
from tests.planning.test_plan import ARCHITECTURES, CARDS, small_cell

SUITE: dict[str, Any] = {
    "name": "planned",
    "title": "Planned",
    "models": [{"name": "small", "config": ARCHITECTURES["llama"]}],
    "methods": ["base", "fft", "lisa", "grass"],
    "tasks": ["arith"],
    "seeds": [0, 1],
    "training": {"steps": 40, "batch_size": 2, "max_length": 24, "precision": "bf16"},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("24GiB", 24 * 2**30), ("24 GB", 24 * 10**9), ("1.5mib", 3 * 2**19), ("512", 512)],
)
def test_sizes(text: str, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize("text", ["much", "24 XB", "-1GiB", "", "0"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UserError, match="is no size"):
        parse_size(text)


def needs(planner: Planner, method: str, **training: object) -> Needed:
    found = planner.plan(small_cell(CARDS[method], ARCHITECTURES["llama"], **training)).needed
    assert found is not None
    return found


def total(needed: Needed) -> int:
    return needed.rounded_peak_bytes + Allowance.of(needed).total


def test_the_smallest_change_is_the_first_that_fits() -> None:
    planner = Planner(num_samples=0)
    cell = small_cell(CARDS["lisa"], ARCHITECTURES["llama"], max_length=256)
    plain, less = (
        needs(planner, "lisa", max_length=256, checkpointing=checkpointing)
        for checkpointing in (False, True)
    )
    assert fits(plain, total(plain))
    assert not fits(plain, total(plain) - 1)
    found = smallest_change(cell, plain, total(less), planner.plan)
    assert found is not None
    change, planned = found
    assert change == {"training.checkpointing": True}
    assert planned.needed == less
    assert smallest_change(cell, plain, 1000, planner.plan) is None


def test_a_suite_is_planned_told_and_drawn(tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text(yaml.safe_dump(SUITE | {"ablate": {"training.max_length": [16, 32]}}))
    plan = plan_suite(load_suite(str(file)), parse_size("4GiB"))
    cells = as_json(plan)["cells"]
    assert len(cells) == 3 * 2 * 2
    assert all(cell["fits"] is True and cell["peak_bytes"] > 0 for cell in cells)
    assert {"probe", "forward", "backward", "update", "switch"} == set(cells[-1]["phases"])
    lisa = next(cell for cell in cells if cell["method"] == "lisa")
    peaks = lisa["step_peak_bytes"]
    assert peaks["minimum"] <= peaks["mean"] <= peaks["maximum"] <= lisa["peak_bytes"]
    assert sum(lisa["components"].values()) == lisa["peak_bytes"]
    text = as_text(plan)
    assert "has no tokenizer" in text
    assert "what differs besides the method's name" in text
    assert "strategy.num_active" in text
    draw_plan(plan, tmp_path / "plan.png")
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")


def test_cells_that_are_tuned_are_planned_too(tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    tune = {"grid": {"training.lr": [1e-3, 3e-3]}, "seeds": [100]}
    file.write_text(yaml.safe_dump(SUITE | {"methods": ["fft"], "seeds": [0], "tune": tune}))
    suite = load_suite(str(file))
    assert suite.cells == []
    assert [row.plan.cell.id for row in plan_suite(suite).rows] == ["small--fft--arith--seed0"]
    with pytest.raises(UserError, match="planned, not run"):
        suite.require_runnable()


def test_a_refused_model_does_not_keep_others_from_being_planned(tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    cut = {"model_type": "xlm", "emb_dim": 16, "n_layers": 2, "n_heads": 2, "n_words": 40}
    models = [{"name": "cut", "config": cut}, *SUITE["models"], {"name": "chosen", "config": DBRX}]
    file.write_text(yaml.safe_dump(SUITE | {"models": models, "methods": ["fft"], "seeds": [0]}))
    plan = plan_suite(load_suite(str(file)))
    with pytest.raises(UserError, match="model cut.*\n(.*\n)*.*model other") as raised:
        refused = [models[0], models[0] | {"name": "other"}]
        file.write_text(yaml.safe_dump(SUITE | {"models": refused, "methods": ["fft"]}))
        plan_suite(load_suite(str(file)))
    assert raised.value.message.startswith(f"{file}:")
    assert [row.plan.cell.model.name for row in plan.rows] == ["small", "chosen"]
    told = as_json(plan)
    assert list(told["refused"]) == ["cut--fft--arith--seed0"]
    assert [cell["even_choices"] for cell in told["cells"]] == [False, True]
    text = as_text(plan)
    assert "Refused, as a run would: cut--fft--arith--seed0: " in text
    assert "planned as if all were chosen equally often (" in text
    lines: list[str] = []
    assert verify_plan(plan, lines.append)
    assert [line.partition(":")[0] for line in lines] == ["as planned", "as planned", "as chosen"]


def lwft_bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lwft_bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_command(tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text(yaml.safe_dump(SUITE | {"methods": ["fft"], "seeds": [0]}))
    done = lwft_bench("plan", str(file), "--json")
    assert done.returncode == 0, done.stderr
    (cell,) = json.loads(done.stdout)["cells"]
    assert cell["id"] == "small--fft--arith--seed0"
    refused = lwft_bench("run", str(file))
    assert refused.returncode == 2
    assert "planned, not run" in refused.stderr
    assert f"lwft-bench plan {file}" in refused.stderr
    wrong = lwft_bench("plan", str(file), "--budget", "much")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("'much' is no size")
