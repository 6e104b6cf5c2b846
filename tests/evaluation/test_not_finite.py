"""Answers that are no numbers are no answers, whichever kind of question is asked."""

from __future__ import annotations

import pytest
import torch

from lwft_bench.data.items import load_items
from lwft_bench.evaluation.harness import evaluate
from lwft_bench.evaluation.not_finite import NotFinite
from lwft_bench.models.loading import load_model, load_tokenizer
from lwft_bench.schema.cell import EvaluationConfig, ModelConfig, TaskConfig

EMBEDDED = ModelConfig(name="embedded", path="embedded")


@pytest.mark.parametrize("benchmark", ["add-sub", "algebra-choice"])
def test_a_model_of_huge_weights_is_not_scored(benchmark: str) -> None:
    """Its weights are finite, and what it computes is not."""
    model = load_model(EMBEDDED, dtype=torch.float32, attention="sdpa", seed=0)
    with torch.no_grad():
        model.model.layers[2].mlp.down_proj.weight.fill_(1e38)
    task = TaskConfig(
        name="t",
        data="generated-arithmetic",
        train_examples=1,
        benchmarks=(benchmark,),
        items_per_benchmark=2,
    )
    items = {benchmark: load_items(task, benchmark)}
    with pytest.raises(NotFinite):
        evaluate(model, load_tokenizer(EMBEDDED), items, EvaluationConfig(max_new_tokens=3))
