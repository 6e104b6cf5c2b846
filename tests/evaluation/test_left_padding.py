"""Which prompts share a batch, and that each gets its own answer."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lwft_bench.evaluation.left_padding import generated_without_padding, rows_together
from lwft_bench.models.loading import load_model
from lwft_bench.schema.cell import ModelConfig
from tests.training.tiny import LLAMA

RWKV = {"model_type": "rwkv", "vocab_size": 48, "hidden_size": 16, "num_hidden_layers": 2}


def model_of(config: dict[str, Any]) -> Any:
    return load_model(
        ModelConfig(name="x", config=config), dtype=torch.float32, attention="auto", seed=0
    )


@pytest.mark.parametrize(("config", "together"), [(LLAMA, "any"), (RWKV, "single")])
def test_which_rows_are_answered_together(config: dict[str, Any], together: str) -> None:
    """RWKV masks no padding; and its single steps (transformers 5) mix the rows of a batch."""
    assert rows_together(model_of(config), 0) == together


@pytest.mark.parametrize(("single", "expected"), [(False, [1, 2, 1]), (True, [1, 1, 1, 1])])
def test_rows_get_their_own_answers(single: bool, expected: list[int]) -> None:
    prompts = [[5, 6, 7], [8, 9], [10, 11, 12], [13, 14, 15, 16]]
    rows = torch.tensor([[0] * (4 - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (4 - len(p)) + [1] * len(p) for p in prompts])
    batches = []

    def generate(chosen: torch.Tensor) -> torch.Tensor:
        """Answers with the prompt backwards."""
        batches.append(len(chosen))
        return torch.cat([chosen, chosen.flip(1)], 1)

    found = generated_without_padding(rows, mask, 0, generate, single=single)
    assert batches == expected and torch.equal(found[:, :4], rows)
    for row, prompt in zip(found.tolist(), prompts, strict=True):
        assert row[4:] == prompt[::-1] + [0] * (4 - len(prompt))
