"""The chunked loss is the model's own, in value and gradient, and notices when it cannot be."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from lwft_bench.data.batching import collate
from lwft_bench.memory.meters import NoAccount
from lwft_bench.models.loading import load_model
from lwft_bench.schema.cell import ModelConfig
from lwft_bench.training import loss as loss_module
from lwft_bench.training.loss import CausalLoss, ChunkedCrossEntropy, DeviceBatch
from tests.training.tiny import CPU, FAMILIES, SHAPE, examples


def batch() -> DeviceBatch:
    return DeviceBatch.of(collate(examples(), range(5)), CPU)


def model_of(config: dict):
    return load_model(
        ModelConfig(name="x", config=config), dtype=torch.float32, attention="eager", seed=0
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_agrees_with_the_models_own_loss(family: str) -> None:
    model = model_of(FAMILIES[family])
    loss = CausalLoss(model, NoAccount())
    assert loss.agrees_with_model(batch())
    source = collate(examples(), range(5))
    own = model(
        input_ids=source.input_ids,
        attention_mask=(
            torch.arange(source.input_ids.shape[1]) < torch.tensor(source.lengths)[:, None]
        ),
        labels=source.labels,
        num_items_in_batch=source.num_target_tokens,
    ).loss
    assert torch.allclose(loss(batch()) / source.num_target_tokens, own, rtol=1e-5)


def test_a_capped_head_is_noticed() -> None:
    config = SHAPE | {"model_type": "gemma2", "head_dim": 8, "final_logit_softcapping": 0.05}
    loss = CausalLoss(model_of(config), NoAccount())
    assert not loss.agrees_with_model(batch())


@pytest.mark.parametrize("bias", [False, True])
def test_gradients_are_those_of_cross_entropy(bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_module, "CHUNK_LOGITS", 33)  # three tokens at a time
    torch.manual_seed(0)
    hidden = torch.randn(10, 4, requires_grad=True)
    weight = torch.randn(11, 4, requires_grad=True)
    offset = torch.randn(11, requires_grad=True) if bias else None
    targets = torch.randint(0, 11, (10,))
    inputs = [t for t in (hidden, weight, offset) if t is not None]
    ours = ChunkedCrossEntropy.apply(hidden, weight, offset, targets) / 7
    theirs = functional.cross_entropy(
        functional.linear(hidden, weight, offset), targets, reduction="sum"
    )
    for got, expected in zip(
        torch.autograd.grad(ours, inputs), torch.autograd.grad(theirs / 7, inputs), strict=True
    ):
        torch.testing.assert_close(got, expected)
