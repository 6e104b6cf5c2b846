from __future__ import annotations

import json
from pathlib import Path

import yaml
from typer.testing import CliRunner

from lwft_bench.cli.commands import app


def test_what_was_trained_on_is_counted(tmp_path: Path) -> None:
    rows = [
        {"instruction": f"Tom has {n} pens.", "output": f"{n}", "answer": f"{n}"}
        for n in range(395)
    ]
    for name in ("train.json", "AddSub/test.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(rows), "utf-8")
    task = {
        "name": "own",
        "data": "instructions",
        "data_options": {"train": "train.json"},
        "train_examples": 390,
        "validation_examples": 5,
        "benchmarks": ["addsub"],
        "data_dir": ".",
    }
    suite = {
        "name": "own",
        "models": ["embedded"],
        "methods": ["base"],
        "tasks": [task],
        "seeds": [0],
        "training": {"steps": 1},
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(suite), "utf-8")
    said = CliRunner().invoke(app, ["audit", str(tmp_path / "own.yaml")])
    assert said.exit_code == 0
    assert "own: test questions that stand in its 395 training" in said.stdout
    lines = [line.split() for line in said.stdout.splitlines()]
    assert ["addsub", "395", "395", "0"] in lines
    assert "addsub, e.g.: Tom has 0 pens." in said.stdout
