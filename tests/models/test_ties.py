"""A config that says tied beside weights that are not: what is loaded is what plans speak of."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from lwft_bench.models.loading import empty_model, load_model
from lwft_bench.models.sources import EMBEDDED
from lwft_bench.schema.cell import ModelConfig


def saved(folder: Path, head: str) -> ModelConfig:
    """A model whose config says tied, and whose file has a head: none, the embeddings or another."""
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    file = folder / "model.safetensors"
    tensors = load_file(file)
    embeddings = tensors["model.embed_tokens.weight"]
    if head != "none":
        shift = 1.0 if head == "another" else 0.0
        tensors["lm_head.weight"] = embeddings.clone() + shift
    save_file(tensors, file, metadata={"format": "pt"})
    AutoTokenizer.from_pretrained(EMBEDDED).save_pretrained(folder)
    return ModelConfig(name="tied", path=str(folder))


@pytest.mark.parametrize("head", ["none", "same", "another"])
def test_empty_models_are_tied_as_loaded_ones(tmp_path: Path, head: str) -> None:
    config = saved(tmp_path, head)
    loaded = load_model(config, dtype=torch.float32, attention="eager", seed=0)
    empty = empty_model(config, torch.float32, "eager")
    names = [name for name, _ in loaded.named_parameters()]
    assert [name for name, _ in empty.named_parameters()] == names
    assert ("lm_head.weight" in names) == (head == "another")
    assert all(parameter.is_meta for parameter in empty.parameters())
