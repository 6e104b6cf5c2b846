"""Layers of a pretrained model that are drawn anew."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from lwft_bench.models.loading import load_model, model_digest
from lwft_bench.schema.cell import ModelConfig
from lwft_bench.schema.errors import UserError

FLOAT = {"dtype": torch.float32, "attention": "sdpa"}


def weights(seed: int, *layers: int) -> dict[str, torch.Tensor]:
    config = ModelConfig(name="planted", path="embedded", reinitialise=layers)
    return dict(load_model(config, **FLOAT, seed=seed).state_dict())


def test_only_the_named_layers_are_drawn_and_from_the_seed_alone() -> None:
    before = torch.get_rng_state()
    sound, planted = weights(1), weights(1, 2, 5)
    assert torch.equal(torch.get_rng_state(), before)
    changed = {name.split(".")[2] for name in sound if not torch.equal(sound[name], planted[name])}
    assert changed == {"2", "5"}
    again, other = weights(1, 5, 2), weights(2, 2, 5)
    assert all(torch.equal(planted[name], again[name]) for name in planted)
    name = "model.layers.2.self_attn.q_proj.weight"
    assert not torch.equal(planted[name], other[name])
    assert planted[name].std().item() == pytest.approx(0.02, rel=0.05)


def test_a_planted_model_is_another_one() -> None:
    digests = [
        model_digest(ModelConfig(name="m", path="embedded", reinitialise=layers))
        for layers in ((), (0,), (1,), (0, 1), (1, 0))
    ]
    assert len(set(digests)) == 4
    assert digests[3] == digests[4]


def test_what_cannot_be_planted_is_said() -> None:
    with pytest.raises(UserError, match="names layer 8; the model has layers 0 to 7"):
        weights(0, 8)
    with pytest.raises(ValidationError, match="a model built from a config has none"):
        ModelConfig(name="m", config={"model_type": "llama"}, reinitialise=(0,))
