"""Cells of published models' shapes, without weights."""

from __future__ import annotations

from typing import Any

import yaml

from lwft_bench.config.cards import shipped
from lwft_bench.config.models import (
    Cell,
    EvaluationConfig,
    MethodConfig,
    ModelConfig,
    TaskConfig,
    TrainingConfig,
)

LLAMA_2_7B: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
}
LLAMA_2_13B = LLAMA_2_7B | {
    "hidden_size": 5120,
    "intermediate_size": 13824,
    "num_hidden_layers": 40,
    "num_attention_heads": 40,
    "num_key_value_heads": 40,
}
LLAMA_2_70B = LLAMA_2_7B | {
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
}


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
