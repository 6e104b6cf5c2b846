"""The share of outliers against a computation that holds everything at once, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from lwft_bench.data.batching import collate
from lwft_bench.training import outliers
from lwft_bench.training.outliers import LinearMap, outlier_share
from tests.training.tiny import examples, make_run, method, training

TAU = 2.0
"""Random weights have no outliers at 13."""


def dense_share(model: nn.Module, layer: nn.Module, data, indices, tau: float) -> float:
    """Row by row without padding; A of the whole layer at once."""
    squares: dict[nn.Module, torch.Tensor] = {}
    num_tokens = 0

    def hook(module: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        seen = arguments[0].reshape(-1, arguments[0].shape[-1]).double().square().sum(0)
        squares[module] = squares.get(module, 0) + seen

    maps = [m for m in layer.modules() if isinstance(m, nn.Linear | Conv1D)]
    handles = [module.register_forward_pre_hook(hook) for module in maps]
    model.eval()
    with torch.no_grad():
        for index in indices:
            model(input_ids=torch.tensor([data.token_ids[index]]))
            num_tokens += len(data.token_ids[index])
    for handle in handles:
        handle.remove()
    importance = []
    for module in maps:
        weight = module.weight.detach().double()
        weight = weight.T if isinstance(module, Conv1D) else weight
        importance.append((weight.abs() * (squares[module] / num_tokens).sqrt()).flatten())
    everything = torch.cat(importance)
    return float(100 * (everything > tau * everything.mean()).double().mean())


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
def test_share_is_that_of_a_dense_computation(tmp_path, monkeypatch, family):
    monkeypatch.setattr(outliers, "CHUNK_ELEMENTS", 100)  # no weight fits into one
    data = examples()
    card = method("ows-outlier", strategy_tau=TAU, strategy_calibration_batches=5)
    run = make_run(tmp_path, card, training(2), family, data=data)
    drawn = []
    order = run.trainer._probing_order
    draw = order.next_batch

    def remember() -> list:
        start = order.state_dict()["num_drawn"]
        batches = draw()
        drawn.extend(order._example_at(n) for n in range(start, start + 4))
        return batches

    monkeypatch.setattr(order, "next_batch", remember)
    run.trainer.run()
    shares = run.trainer.trace.selections[0].scores
    assert len(drawn) == 20

    fresh = make_run(tmp_path / "fresh", card, training(2), family)
    layers = [
        fresh.model.get_submodule(name.rpartition(".")[0])
        for name in layer_roots(fresh.model, family)
    ]
    expected = [dense_share(fresh.model, layer, data, drawn, TAU) for layer in layers]
    assert shares == pytest.approx(expected, abs=1e-9)
    assert len(set(np.round(shares, 6))) > 1
    assert min(shares) > 0


def layer_roots(model: nn.Module, family: str) -> list[str]:
    path = {"llama": "model.layers", "gpt2": "transformer.h", "gpt_neox": "gpt_neox.layers"}[family]
    return [f"{path}.{index}.x" for index in range(4)]


def test_padding_does_not_count():
    data = examples(2)
    batch = collate(data, [0, 1])
    assert batch.input_ids.numel() > sum(batch.lengths)
    embedding, linear = nn.Embedding(48, 5), nn.Linear(5, 3)
    model = nn.Sequential(embedding, linear)
    seen = LinearMap(linear.weight, linear)
    with torch.no_grad(), outliers.watched([seen], batch):
        model(batch.input_ids)
    tokens = torch.tensor([token for ids in data.token_ids for token in ids])
    expected = embedding(tokens).double().square().mean(0)
    assert torch.allclose(seen._squares / seen._num_tokens, expected, rtol=1e-6)
    assert not linear._forward_pre_hooks


def test_a_planted_outlier_is_counted():
    linear = nn.Linear(10, 10, bias=False)
    nn.init.constant_(linear.weight, 1.0)
    with torch.no_grad():
        linear.weight[3, 4] = 100.0
    seen = LinearMap(linear.weight, linear)
    seen.see(torch.ones(7, 10))
    assert outlier_share([seen], 13.0) == 1.0
    assert outlier_share([seen], 100.0) == 0.0
