"""A model that sees what it is to predict is refused before anything trains."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lwft_bench.models.loading import load_model
from lwft_bench.schema.cell import ModelConfig
from lwft_bench.schema.errors import UserError
from lwft_bench.training.causality import require_causal
from tests.training.tiny import CPU, LLAMA

BERT = {
    "model_type": "bert",
    "vocab_size": 48,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
}
XLNET = {"model_type": "xlnet", "vocab_size": 48, "d_model": 16, "n_layer": 2, "n_head": 2}


def model_of(config: dict[str, Any], dtype: torch.dtype) -> Any:
    return load_model(ModelConfig(name="x", config=config), dtype=dtype, attention="auto", seed=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_models_that_see_ahead_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(UserError, match="BertLMHeadModel sees ahead") as error:
        require_causal(model_of(BERT, dtype), CPU)
    assert "is_decoder: true" in (error.value.hint or "")
    # In bfloat16 its own code mixes dtypes, and it is refused for that.
    reason = "sees ahead" if dtype == torch.float32 else "cannot be run on token ids alone"
    with pytest.raises(UserError, match=f"XLNetLMHeadModel {reason}"):
        require_causal(model_of(XLNET | {"d_inner": 24}, dtype), CPU)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "config",
    [
        LLAMA,
        BERT | {"is_decoder": True},
        LLAMA | {"model_type": "mixtral", "num_local_experts": 4},
    ],
    ids=lambda config: config["model_type"],
)
def test_models_that_look_back_pass(config: dict[str, Any], dtype: torch.dtype) -> None:
    model = model_of(config, dtype).train()
    require_causal(model, CPU)
    assert model.training


class Pictured(torch.nn.Module):
    """A language model that wants a picture, too."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(8, 4)

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.embed

    def forward(self, input_ids: torch.Tensor, use_cache: bool) -> None:
        raise RuntimeError("where is the picture?")


def test_models_that_cannot_be_run_on_text_are_refused() -> None:
    with pytest.raises(UserError, match=r"Pictured cannot .* in float32 .*where is the picture"):
        require_causal(Pictured(), CPU)
