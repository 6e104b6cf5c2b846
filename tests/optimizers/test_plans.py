"""A dry run knows how much state these optimizers keep, without keeping any."""

from __future__ import annotations

from pathlib import Path

import pytest

from lwft_bench.dry_run.dry_run import dry_run
from lwft_bench.dry_run.steps import BatchShape
from lwft_bench.schema.base import Named
from lwft_bench.schema.cell import Cell, EvaluationConfig, ModelConfig, TaskConfig
from lwft_bench.strategies.base import Needs
from tests.training.tiny import FAMILIES, full_fine_tuning, make_run, method, training

ADAPTED = method("all", adapter=Named(name="qlora", r=4, alpha=8))
CARDS = {
    "adamw8bit": full_fine_tuning(optimizer=Named(name="adamw8bit", min_8bit_size=300)),
    "galore": full_fine_tuning(optimizer=Named(name="galore", rank=4)),
    "galore-full": full_fine_tuning(optimizer=Named(name="galore", rank=4, proj_type="full")),
    "apollo": full_fine_tuning(optimizer=Named(name="apollo", rank=4)),
    "qlora": ADAPTED,
}


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("name", CARDS)
def test_planned_state_and_weights_are_the_real_ones(
    tmp_path: Path, name: str, precision: str
) -> None:
    config = training(2, precision=precision)
    cell = Cell(
        id="x",
        model=ModelConfig(name="llama", config=FAMILIES["llama"]),
        method=CARDS[name],
        task=TaskConfig(name="x", data="jsonl", train_examples=1, benchmarks=()),
        training=config,
        evaluation=EvaluationConfig(),
        seed=0,
    )
    planned = dry_run(cell, [BatchShape(4, 16, 32)], [(0, 1, 2, 3)], Needs()).memory
    run = make_run(tmp_path, CARDS[name], config)
    run.trainer.run()
    assert planned.component_peaks["optimizer_state"] == run.assembly.store.device_bytes
    tensors = [*run.model.parameters(), *run.model.buffers()]
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    assert planned.component_peaks["weights"] == sum(storages.values())
