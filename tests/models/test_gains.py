"""A layer's norm gains, multiplied with and without what follows being divided."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from lwft_bench.models.gains import multiply_gains, rescale
from lwft_bench.models.loading import load_model, model_digest
from lwft_bench.schema.cell import LayerFactor, ModelConfig
from lwft_bench.schema.errors import UserError
from tests.training.tiny import FAMILIES, WITH_EXPERTS

TOKENS = torch.tensor([[3, 7, 5, 11, 2, 9]])


def model(family: str) -> Any:
    config = ModelConfig(name=family, config=WITH_EXPERTS[family])
    made = load_model(config, dtype=torch.float32, attention="eager", seed=0)
    with torch.no_grad():  # gains that are not all alike
        for name, parameter in made.named_parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.linspace(0.1, 0.6, parameter.numel()) * (1 + len(name) % 3))
    return made.eval()


def changed(before: dict[str, torch.Tensor], after: Any) -> dict[str, torch.Tensor]:
    """Name -> quotient, of what is no longer the same."""
    now = dict(after.named_parameters())
    return {
        name: now[name].detach() / old
        for name, old in before.items()
        if not torch.equal(now[name], old)
    }


def copies(made: Any) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in made.named_parameters()}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("factor", [8.0, 10.0, 0.25])
def test_a_rescaling_leaves_the_function_as_it_is(family: str, factor: float) -> None:
    made = model(family)
    logits, before = made(TOKENS).logits, copies(made)
    rescale(made, LayerFactor(layer=2, factor=factor))
    assert torch.allclose(made(TOKENS).logits, logits, rtol=1e-3, atol=1e-5)
    matrices = [q for name, q in changed(before, made).items() if q.dim() == 2]
    assert len(matrices) in (2, 3, 4, 5)  # fused projections are one map
    assert all(torch.allclose(q, torch.tensor(1 / factor)) for q in matrices)


def test_by_a_power_of_two_it_is_exact() -> None:
    made = model("llama")
    logits = made(TOKENS).logits
    rescale(made, LayerFactor(layer=1, factor=8.0))
    assert torch.equal(made(TOKENS).logits, logits)


@pytest.mark.parametrize("family", FAMILIES)
def test_gains_alone_damage_one_layer(family: str) -> None:
    made = model(family)
    logits, before = made(TOKENS).logits, copies(made)
    multiply_gains(made, LayerFactor(layer=2, factor=4.0))
    assert not torch.allclose(made(TOKENS).logits, logits, rtol=1e-3)
    found = changed(before, made)
    assert len(found) == 2, "both norm gains"
    assert all(".2." in name and "weight" in name for name in found)
    offset = 1.0 if family == "gemma" else 0.0
    now = dict(made.named_parameters())
    for name in found:
        assert torch.allclose(now[name] + offset, 4 * (before[name] + offset))


def test_the_embedded_model_and_its_digest() -> None:
    def loaded(**control: Any) -> Any:
        config = ModelConfig(name="m", path="embedded", **control)
        return load_model(config, dtype=torch.float32, attention="sdpa", seed=0)

    plain = loaded()
    placebo = loaded(rescale={"layer": 5, "factor": 8})
    damaged = loaded(gain={"layer": 5, "factor": 4})
    tokens = torch.arange(20).unsqueeze(0)
    assert torch.equal(placebo(tokens).logits, plain(tokens).logits)
    assert not torch.allclose(damaged(tokens).logits, plain(tokens).logits, rtol=0.1)
    controls: list[dict[str, Any]] = [
        {},
        {"rescale": {"layer": 5, "factor": 8}},
        {"gain": {"layer": 5, "factor": 8}},
        {"gain": {"layer": 4, "factor": 8}},
        {"gain": {"layer": 5, "factor": 4}},
    ]
    configs = [ModelConfig(name="m", path="embedded", **control) for control in controls]
    assert len({model_digest(config) for config in configs}) == len(configs)
    assert [config.altered_layers for config in configs] == [(), (5,), (5,), (4,), (5,)]


def test_what_cannot_be_changed_is_said() -> None:
    with pytest.raises(UserError, match="no layer 8: the model has layers 0 to 3"):
        multiply_gains(model("llama"), LayerFactor(layer=8, factor=4.0))
    with pytest.raises(ValidationError, match="gain is for pretrained weights"):
        ModelConfig(name="m", config={"model_type": "llama"}, gain={"layer": 0, "factor": 4})


def test_fused_experts_are_not_rescaled() -> None:
    """They are no linear maps that follow a norm one by one."""
    with pytest.raises(UserError, match="changes what the model computes"):
        rescale(model("mixtral"), LayerFactor(layer=2, factor=8.0))


def test_a_rescaling_that_would_change_the_function_is_refused() -> None:
    """A parallel layer whose norm something else reads too."""
    made = model("llama")
    layer = made.model.layers[1]
    inner = layer.mlp.forward
    layer.mlp.forward = lambda x: inner(x) + x
    with pytest.raises(UserError, match="changes what the model computes"):
        rescale(made, LayerFactor(layer=1, factor=8.0))
