"""A head apart from the embeddings, under a config that says tied: it is scored as it is, and stays."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from lwft_bench.data.examples import Item
from lwft_bench.evaluation.harness import evaluate
from lwft_bench.schema.cell import EvaluationConfig


@pytest.mark.usefixtures("only_benchmarks")
def test_the_head_that_was_trained_is_scored(
    trained: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, items: list[Item]
) -> None:
    model = copy.deepcopy(trained).eval()
    model.config.tie_word_embeddings = True
    head, embeddings = model.lm_head.weight, model.model.embed_tokens.weight
    assert isinstance(head, nn.Parameter) and not torch.equal(head, embeddings)
    (score,) = evaluate(model, tokenizer, {"add-sub": items}, EvaluationConfig()).scores
    assert score.value == 1.0
    assert model.lm_head.weight is head and model.model.embed_tokens.weight is embeddings
    model.tie_weights()
    assert model.lm_head.weight is embeddings
