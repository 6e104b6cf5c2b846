"""Mixtures of experts: statistics that count experts, the routers' loss and noise, what is reached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lwft_bench.cell.model_confounds import model_confounds
from lwft_bench.data.batching import collate
from lwft_bench.memory.meters import NoAccount
from lwft_bench.models.dropout import remove_dropout
from lwft_bench.models.loading import load_model
from lwft_bench.schema.base import Named
from lwft_bench.schema.cell import ModelConfig
from lwft_bench.schema.errors import UserError
from lwft_bench.training.loss import CausalLoss, DeviceBatch
from lwft_bench.training.measures import Measures
from lwft_bench.training.traits import Traits
from tests.dry_run.test_traits import MIXTRAL, cell
from tests.training import tiny
from tests.training.tiny import CPU, SHAPE, examples, full_fine_tuning, make_run, method, training

GPT_OSS = SHAPE | {
    "model_type": "gpt_oss",
    "head_dim": 8,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "pad_token_id": 0,
}
LLAMA4 = SHAPE | {
    "model_type": "llama4_text",
    "head_dim": 8,
    "intermediate_size_mlp": 24,
    "num_local_experts": 4,
    "interleave_moe_layer_step": 1,
    "pad_token_id": 0,
}
QWEN3_MOE = SHAPE | {
    "model_type": "qwen3_moe",
    "head_dim": 8,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
}


@pytest.mark.parametrize("config", [MIXTRAL, GPT_OSS, LLAMA4], ids=lambda c: c["model_type"])
def test_an_experts_weights_change_the_scores_of_its_layer(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tiny.WITH_EXPERTS, "tested", config)
    run = make_run(tmp_path, method("lisa"), training(), "tested")
    order = run.order
    measures = Measures(run.assembly, order)

    def scores() -> list[Any]:
        place = order.state_dict()
        found = [measures("weight_norm"), measures("outlier_share", tau=5.0, batches=1)]
        order.load_state_dict(place)
        return found

    before = scores()
    with torch.no_grad():
        for name, parameter in run.model.named_parameters():
            if ".layers.2." in name and name.endswith("experts.down_proj"):
                assert parameter.dim() == 3
                parameter[1] *= 100
    for old, new in zip(before, scores(), strict=True):
        assert new[2] != old[2] and (new[:2] == old[:2]).all()


@pytest.mark.parametrize("router_loss", ["auto", "on", "off"])
@pytest.mark.parametrize("asked", [False, True])
def test_the_routers_loss_is_transformers_own(router_loss: Any, asked: bool) -> None:
    config = QWEN3_MOE | {"output_router_logits": asked, "router_aux_loss_coef": 0.5}
    model: Any = load_model(
        ModelConfig(name="x", config=config), dtype=torch.float32, attention="auto", seed=0
    )
    model.train()
    source = collate(examples(), range(4))
    loss = CausalLoss(model, NoAccount(), router_loss=router_loss)
    got = loss(DeviceBatch.of(source, CPU)) / source.num_target_tokens
    own = model(
        input_ids=source.input_ids,
        labels=source.labels,
        num_items_in_batch=source.num_target_tokens,
        output_router_logits=router_loss == "on" or (router_loss == "auto" and asked),
    ).loss
    assert torch.allclose(got, own, rtol=1e-5)
    model.eval()
    without = CausalLoss(model, NoAccount(), router_loss="off")
    batch = DeviceBatch.of(source, CPU)
    assert torch.equal(loss(batch), without(batch))  # validation is without it


def test_a_model_without_routers_has_no_loss_of_theirs() -> None:
    model = load_model(
        ModelConfig(name="x", config=tiny.LLAMA), dtype=torch.float32, attention="auto", seed=0
    )
    with pytest.raises(UserError, match="no router_aux_loss_coef"):
        CausalLoss(model, NoAccount(), router_loss="on")


def test_router_noise_goes_with_dropout() -> None:
    config = ModelConfig(name="x", config=MIXTRAL | {"router_jitter_noise": 0.5})
    model: Any = load_model(config, dtype=torch.float32, attention="auto", seed=0).train()
    ids = torch.arange(8)[None]
    with torch.no_grad():
        assert not torch.equal(model(ids).logits, model(ids).logits)
        remove_dropout(model)
        assert torch.equal(model(ids).logits, model(ids).logits)


def test_what_adapters_and_optimizers_reach_is_a_confound() -> None:
    lora = method("all", adapter=Named(name="lora", r=2, alpha=4))
    found = model_confounds(cell(MIXTRAL, lora), Traits())
    assert found["adapter.reach"] == "9.4 %"
    galore = full_fine_tuning(optimizer=Named(name="galore", rank=4))
    found = model_confounds(cell(MIXTRAL, galore), Traits(attention="sdpa"))
    assert found["adapter.reach"] == "100.0 %"
    assert found["optimizer.reach"] == "14.0 %"
    assert found["training.attention"] == "sdpa"
    assert found["training.router_loss"] == "none"
