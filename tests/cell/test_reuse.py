"""Scores are taken from another cell only where its answers are this one's."""

from pathlib import Path
from typing import Any

import pytest

from lwft_bench.cell.reuse import scored_alike
from lwft_bench.results.rows import write_rows
from lwft_bench.results.store import SAMPLES, RunStore, write_result
from lwft_bench.schema.base import Named
from lwft_bench.schema.cell import Cell, EvaluationConfig, ModelConfig, TaskConfig, TrainingConfig
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.result import CellResult, Score
from lwft_bench.schema.rows import SampleRow
from lwft_bench.schema.run import Identity

COMPONENTS = {
    "config": "c",
    "strategy": "s",
    "data": "d",
    "model": "m",
    "protocol": "p",
    "evaluation": "e",
}
WEIGHTS = "ab" * 32
SCORE = Score(benchmark="b", version="1", metric="exact_match", value=1.0, stderr=0.0, num_items=1)


def cell(method: str, seed: int = 0, adapter: str = "none", **training: Any) -> Cell:
    return Cell(
        id=f"tiny--{method}--t--seed{seed}",
        model=ModelConfig(name="tiny", path="embedded"),
        method=MethodConfig(name=method, title="t", citation="c", adapter=Named(name=adapter)),
        task=TaskConfig(name="t", data="none", train_examples=1, benchmarks=("b",)),
        training=TrainingConfig(steps=1, **training),
        evaluation=EvaluationConfig(),
        seed=seed,
    )


def begun(store: RunStore, one: Cell, **components: str) -> Path:
    store.begin(one, Identity(COMPONENTS | components), threads=1)
    return store.work_folder(one.id)


def finished(store: RunStore, one: Cell, weights: str = WEIGHTS, **components: str) -> None:
    folder = begun(store, one, **components)
    write_rows(folder / SAMPLES, [SampleRow(benchmark="b", id="1", correct=True)])
    result = CellResult(
        status="done",
        cell=one.id,
        model=one.model.name,
        method=one.method.name,
        task=one.task.name,
        seed=one.seed,
        identity=Identity(COMPONENTS | components).digest,
        identity_components=COMPONENTS | components,
        scores=[SCORE],
        average=1.0,
        weights_digest=weights,
    )
    write_result(folder, result)
    store.publish(one.id)


def test_a_cell_with_the_same_weights_lends_its_scores(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    finished(store, cell("grass"))
    mine = cell("grass-no-offload")
    found = scored_alike(mine, begun(store, mine, config="other", strategy="other"), WEIGHTS)
    assert found is not None
    result, samples = found
    assert result.cell == "tiny--grass--t--seed0"
    assert [sample.correct for sample in samples] == [True]


@pytest.mark.parametrize("component", ["model", "data", "protocol", "evaluation"])
def test_what_scores_depend_on_must_be_the_same(tmp_path: Path, component: str) -> None:
    store = RunStore(tmp_path)
    finished(store, cell("grass"), **{component: "other"})
    mine = cell("grass-no-offload")
    assert scored_alike(mine, begun(store, mine), WEIGHTS) is None


@pytest.mark.parametrize(
    "other",
    [cell("x", adapter="lora"), cell("x", precision="bf16"), cell("x", attention="eager")],
    ids=["adapter", "precision", "attention"],
)
def test_equal_weights_of_another_kind_of_model_lend_nothing(tmp_path: Path, other: Cell) -> None:
    store = RunStore(tmp_path)
    finished(store, other)
    mine = cell("grass")
    assert scored_alike(mine, begun(store, mine), WEIGHTS) is None


def test_other_weights_seeds_and_damaged_cells_lend_nothing(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    finished(store, cell("a"), weights="cd" * 32)
    finished(store, cell("b", seed=1))
    finished(store, cell("c"))
    (store.cell_folder("tiny--c--t--seed0") / "result.json").write_text("{torn")
    mine = cell("grass")
    assert scored_alike(mine, begun(store, mine), WEIGHTS) is None
