"""The cells that are measured: shipped cards on published shapes, or on a tiny one in a rehearsal."""

from __future__ import annotations

from typing import Any

from lwft_bench.schema.cell import Cell, EvaluationConfig, ModelConfig, TaskConfig, TrainingConfig
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.shipped import shipped
from lwft_bench.suites.architectures import read_architecture
from lwft_bench.suites.entries import read_card

TINY = ModelConfig(
    name="tiny",
    config={
        "model_type": "llama",
        "vocab_size": 96,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "max_position_embeddings": 64,
    },
)
RUN_STEPS = 1000
"""Of the run that is planned: enough that by its end every layer may have been visited."""


def model(name: str, *, rehearse: bool) -> ModelConfig:
    return TINY if rehearse else read_architecture(name).model


def shallow(shape: ModelConfig, num_layers: int) -> ModelConfig:
    """Layers of the same size, and only so many."""
    assert shape.config is not None
    return shape.model_copy(update={"config": shape.config | {"num_hidden_layers": num_layers}})


def cell(
    method: str,
    shape: ModelConfig,
    rows: int,
    length: int,
    *,
    card: dict[str, Any] | None = None,
    **training: Any,
) -> Cell:
    """A shipped method, with `card`'s values in place of its own, in bf16."""
    found = read_card(MethodConfig, shipped("methods")[method]).config
    options = {"precision": "bf16", "loss_on": "all", "steps": RUN_STEPS} | training
    if shape.name == TINY.name:
        options["bucket_bytes"] = 4096
    return Cell(
        id=method,
        model=shape,
        method=found.model_copy(update=card or {}),
        task=TaskConfig(name="none", data="none", train_examples=1, benchmarks=()),
        training=TrainingConfig(batch_size=rows, max_length=length, **options),
        evaluation=EvaluationConfig(),
        seed=0,
    )
