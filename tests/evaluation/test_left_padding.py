"""Generation beside longer prompts gives what generation alone does, or is made without padding."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lwft_bench.config.models import ModelConfig
from lwft_bench.evaluation.left_padding import generated_without_padding, padding_matters
from lwft_bench.models.loading import load_model
from tests.training.tiny import LLAMA

RWKV = {"model_type": "rwkv", "vocab_size": 48, "hidden_size": 16, "num_hidden_layers": 2}


def model_of(config: dict[str, Any]) -> Any:
    return load_model(
        ModelConfig(name="x", config=config), dtype=torch.float32, attention="auto", seed=0
    )


@pytest.mark.parametrize(("config", "matters"), [(LLAMA, False), (RWKV, True)])
def test_padding_matters_to_models_that_do_not_mask_it(
    config: dict[str, Any], matters: bool
) -> None:
    assert padding_matters(model_of(config), 0) is matters


def test_rows_of_one_length_get_the_answers_of_single_rows() -> None:
    model = model_of(RWKV)
    prompts = [[5, 6, 7], [8, 9], [10, 11, 12], [13, 14, 15, 16]]
    rows = torch.tensor([[0] * (4 - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (4 - len(p)) + [1] * len(p) for p in prompts])
    batches = []

    def generate(chosen: torch.Tensor) -> torch.Tensor:
        batches.append(len(chosen))
        return model.generate(
            input_ids=chosen, max_new_tokens=3, do_sample=False, pad_token_id=0, eos_token_id=None
        )

    found = generated_without_padding(rows, mask, 0, generate)
    assert batches == [1, 2, 1] and torch.equal(found[:, :4], rows)
    for row, prompt in zip(found, prompts, strict=True):
        assert torch.equal(row[4:], generate(torch.tensor([prompt]))[0, len(prompt) :])
