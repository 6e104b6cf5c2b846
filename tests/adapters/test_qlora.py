"""Four-bit base weights: what bitsandbytes has, trained through, planned with the bytes there are."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from lwft_bench.adapters.linear4bit import Linear4bit
from lwft_bench.adapters.qlora import Qlora
from lwft_bench.adapters.reach import adapter_reach, unquantised
from lwft_bench.models.loading import empty_model, load_model
from lwft_bench.schema.base import Named
from lwft_bench.schema.cell import ModelConfig
from lwft_bench.schema.errors import UserError
from tests.training.tiny import FAMILIES, WITH_EXPERTS, assert_same, make_run, method, training

OPTIONS = {"r": 4, "alpha": 8}


@pytest.fixture(params=[True, False], ids=["nested", "plain"])
def nested(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_computes_what_the_packages_module_computes(nested: bool, dtype: torch.dtype) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import bitsandbytes as bnb
    torch.manual_seed(0)
    linear = nn.Linear(96, 160, dtype=dtype)
    theirs = bnb.nn.Linear4bit(
        96, 160, compute_dtype=dtype, compress_statistics=nested, quant_type="nf4"
    )
    theirs.load_state_dict({k: v.clone() for k, v in linear.state_dict().items()})
    theirs = theirs.to("cpu").requires_grad_(False)
    ours = Linear4bit(linear, nested=nested)
    assert torch.equal(ours.weight, theirs.weight.data)
    inputs = torch.randn(5, 7, 96, dtype=dtype).requires_grad_(True)
    mine, other = ours(inputs), theirs(inputs)
    close = {"rtol": 2e-2, "atol": 2e-2} if dtype == torch.bfloat16 else {}
    torch.testing.assert_close(mine, other, **close)
    (mine_gradient,) = torch.autograd.grad(mine.sum(), inputs)
    (other_gradient,) = torch.autograd.grad(other.sum(), inputs)
    torch.testing.assert_close(mine_gradient, other_gradient, **close)


def test_weights_are_near_what_they_were(nested: bool) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(128, 128)
    error = (Linear4bit(linear, nested=nested).dequantised() - linear.weight).abs()
    assert 0 < error.max() < 0.2 * linear.weight.abs().max()


@pytest.mark.parametrize("family", ["llama", "qwen2", "opt"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_adapters_train_and_nothing_else(tmp_path: Path, family: str, precision: str) -> None:
    card = method("all", adapter=Named(name="qlora", **OPTIONS))
    run = make_run(tmp_path, card, training(6, precision=precision), family)
    before = run.weights()
    buffers = {name: buffer.clone() for name, buffer in run.model.named_buffers()}
    run.trainer.run()
    moved = {
        name for name, weight in run.weights().items() if not torch.equal(weight, before[name])
    }
    assert moved == {name for name in before if "lora_" in name}
    assert_same(dict(run.model.named_buffers()), buffers)
    dtypes = {before[name].dtype for name in moved}
    assert dtypes == {torch.float32 if precision == "float32" else torch.bfloat16}
    losses = [row.loss for row in run.trainer.trace.steps]
    assert losses[-1] != losses[0]
    full = make_run(tmp_path / "full", method("all"), training(1), family)
    adapters = sum(before[name].numel() for name in moved)
    expected = full.assembly.adapter.num_parameters(full.model) + adapters
    assert run.assembly.adapter.num_parameters(run.model) == expected


def test_evaluation_leaves_codes_as_they_are() -> None:
    linear = Linear4bit(nn.Linear(64, 64), nested=True)
    codes = linear.weight.clone()
    with torch.no_grad():
        linear.eval()(torch.randn(3, 64))
    assert torch.equal(linear.weight, codes)


def test_a_plan_counts_the_bytes_there_are() -> None:
    config = ModelConfig(name="x", config=FAMILIES["llama"])
    with torch.device("meta"):
        planned = Qlora(Qlora.Options(**OPTIONS)).apply(
            empty_model(config, torch.bfloat16, "sdpa"), seed=0
        )
    real = Qlora(Qlora.Options(**OPTIONS)).apply(
        load_model(config, dtype=torch.bfloat16, attention="sdpa", seed=0), seed=0
    )
    for kind in ("named_parameters", "named_buffers"):
        shapes = [
            {name: (tensor.shape, tensor.dtype) for name, tensor in getattr(model, kind)()}
            for model in (planned, real)
        ]
        assert shapes[0] == shapes[1]
    assert all(p.is_meta for p in planned.parameters())


def test_a_model_without_such_linear_maps_is_refused() -> None:
    model = load_model(
        ModelConfig(name="gpt2", config=FAMILIES["gpt2"]),
        dtype=torch.float32,
        attention="sdpa",
        seed=0,
    )
    with pytest.raises(UserError, match=r"no torch\.nn\.Linear to quantise"):
        Qlora(Qlora.Options(**OPTIONS)).apply(model, seed=0)


def test_experts_are_left_in_full_precision_and_that_is_told() -> None:
    adapter, mixtral = Qlora(Qlora.Options(r=2, alpha=4)), WITH_EXPERTS["mixtral"]
    model = empty_model(ModelConfig(name="m", config=mixtral), torch.bfloat16, "auto")
    with torch.device("meta"):
        adapted = adapter.apply(model, seed=0)
    left = unquantised(adapted, adapter)
    experts = sum(p.numel() for n, p in adapted.named_parameters() if ".experts." in n)
    others = sum(adapter.quantised(adapted).values())
    assert left is not None and 0.8 < experts / (experts + others) <= left < 0.95
    assert 0 < adapter_reach(adapted, adapter) < 1 - experts / (experts + others) + 0.01
