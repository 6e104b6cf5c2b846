from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from lwft_bench.data import commonsense
from lwft_bench.data.arithmetic import BENCHMARKS, MULTIPLE_CHOICE
from lwft_bench.data.benchmarks import (
    CommonsenseItems,
    GeneratedItems,
    JsonlItems,
    load_benchmark,
    shipped_benchmarks,
)
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.shipped import shipped


@pytest.mark.parametrize("name", shipped_benchmarks())
def test_shipped_definitions_load(name: str) -> None:
    benchmark = load_benchmark(name)
    assert benchmark.name == name
    assert benchmark.description and benchmark.licence and benchmark.contamination


def test_every_generated_benchmark_is_defined() -> None:
    assert set(BENCHMARKS) <= set(shipped_benchmarks())
    assert set(get_args(GeneratedItems.model_fields["benchmark"].annotation)) == set(BENCHMARKS)
    for name in BENCHMARKS:
        chosen = load_benchmark(name).kind == "multiple_choice"
        assert chosen == (name == MULTIPLE_CHOICE)
    named = get_args(CommonsenseItems.model_fields["benchmark"].annotation)
    assert set(named) == set(commonsense.BENCHMARKS) <= set(shipped_benchmarks())


def own_definition(folder: Path, **changes: Any) -> str:
    definition = yaml.safe_load(shipped("benchmarks")["add-sub"].read_text("utf-8")) | changes
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in definition.items() if v != "absent"}), "utf-8")
    return str(path)


def test_items_are_looked_for_beside_the_definition(tmp_path: Path) -> None:
    own = own_definition(tmp_path, name="own", source={"name": "jsonl", "path": "items.jsonl"})
    source = load_benchmark(own).source
    assert isinstance(source, JsonlItems)
    assert source.path == tmp_path / "items.jsonl"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": "acc"}, r"own.yaml:\d+: metrics: unknown key; did you mean 'metric'"),
        ({"extraction": "last-numbr"}, r"own.yaml:\d+: extraction: .*did you mean 'last-number'"),
        ({"extraction": "absent"}, "`extraction` is for benchmarks of kind generate"),
        ({"kind": "multiple_choice"}, "`extraction` is for benchmarks of kind generate"),
        ({"metric": "acc"}, "metric of multiple_choice is acc"),
        ({"extraction": "first-letter"}, "numeric_match needs one of last-number, answer-is"),
        ({"source": {"name": "generated-arithmetic", "benchmark": "addsub"}}, "mean 'add-sub'"),
        ({"stop": ["Q:", ""]}, r"own.yaml:\d+: stop\[1\]: "),
    ],
)
def test_what_is_wrong_with_a_definition_is_said(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        load_benchmark(own_definition(tmp_path, **changes))


def test_a_misspelt_name_gets_the_nearest() -> None:
    with pytest.raises(
        UserError, match="unknown benchmark 'gradeschool'; did you mean 'grade-school'"
    ):
        load_benchmark("gradeschool")
    with pytest.raises(UserError, match=r"gone.yaml: cannot be read"):
        load_benchmark("gone.yaml")


def test_a_file_that_is_no_yaml(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("name: [", "utf-8")
    with pytest.raises(UserError, match=r"own.yaml:2: not YAML"):
        load_benchmark(str(tmp_path / "own.yaml"))
