"""Cells of published models' shapes, without weights."""

from __future__ import annotations

from typing import Any

import yaml

from lwft_bench.schema.cell import Cell, EvaluationConfig, ModelConfig, TaskConfig, TrainingConfig
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.shipped import shipped
from lwft_bench.suites.architectures import read_architecture

LLAMA_2_7B, LLAMA_2_13B, LLAMA_2_70B = (
    read_architecture(f"llama-2-{size}").config for size in ("7b", "13b", "70b")
)


def shaped_cell(
    method: str,
    model: dict[str, Any] = LLAMA_2_7B,
    *,
    card: dict[str, Any] | None = None,
    **training: Any,
) -> Cell:
    """A shipped method (with `card`'s values in place of its own) in bf16."""
    values = yaml.safe_load(shipped("methods")[method].read_text()) | (card or {})
    return Cell(
        id="x",
        model=ModelConfig(name="shape", config=model),
        method=MethodConfig(**values),
        task=TaskConfig(
            name="x", data="generated-arithmetic", train_examples=1, benchmarks=("add-sub",)
        ),
        training=TrainingConfig(steps=1, precision="bf16", **training),
        evaluation=EvaluationConfig(),
        seed=0,
    )
