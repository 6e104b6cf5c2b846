"""Full training and LoRA as adapters."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from pydantic import ValidationError
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from lwft_bench.adapters.base import Adapter
from lwft_bench.adapters.full import Full
from lwft_bench.adapters.lora import Lora
from lwft_bench.adapters.reach import adapter_reach
from lwft_bench.schema.errors import UserError

SMALL = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "pad_token_id": None,
}
GATED = {**SMALL, "intermediate_size": 24, "num_key_value_heads": 2}
FAMILIES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "llama": (GATED, {"q_proj", "k_proj", "v_proj", "up_proj", "down_proj"}),
    "phi3": (GATED, {"qkv_proj", "gate_up_proj", "down_proj"}),
    "gpt2": (SMALL, {"attn.c_attn", "mlp.c_fc", "mlp.c_proj"}),
    "gpt_neox": (
        {**SMALL, "intermediate_size": 24},
        {"query_key_value", "dense_h_to_4h", "dense_4h_to_h"},
    ),
    "bloom": (SMALL, {"query_key_value", "dense_h_to_4h", "dense_4h_to_h"}),
    "opt": (
        {**SMALL, "ffn_dim": 24, "word_embed_proj_dim": 8},
        {"q_proj", "k_proj", "v_proj", "fc1", "fc2"},
    ),
    "phi": ({**SMALL, "intermediate_size": 24}, {"q_proj", "k_proj", "v_proj", "fc1", "fc2"}),
    "gptj": ({**SMALL, "rotary_dim": 4}, {"q_proj", "k_proj", "v_proj", "fc_in", "fc_out"}),
}
IDS = torch.tensor([[3, 1, 4, 1, 5]])


def tiny(model_type: str = "llama", dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    config = AutoConfig.for_model(model_type, **FAMILIES[model_type][0])
    return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


def lora(**options: Any) -> Lora:
    return Lora(Lora.Options(**{"r": 2, "alpha": 4, **options}))


def adapted_modules(model: nn.Module) -> dict[str, nn.Module]:
    return {name: m for name, m in model.named_modules() if hasattr(m, "lora_A")}


@pytest.mark.parametrize("model_type", FAMILIES)
def test_llm_adapters_targets(model_type: str) -> None:
    adapted = adapted_modules(lora().apply(tiny(model_type), seed=0))
    suffixes = FAMILIES[model_type][1]
    assert len(adapted) == 2 * len(suffixes)
    assert all(any(name.endswith(f".{suffix}") for suffix in suffixes) for name in adapted)


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("model_type", ["llama", "gpt2"])
def test_logits_are_unchanged_at_first(model_type: str, dora: bool) -> None:
    model = tiny(model_type)
    before = model(IDS).logits
    adapted = lora(dora=dora).apply(model, seed=0)
    if dora:  # divides by the norm that it multiplies with
        torch.testing.assert_close(adapted(IDS).logits, before, rtol=1e-5, atol=1e-6)
    else:
        assert torch.equal(adapted(IDS).logits, before)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    assert not torch.allclose(adapted(IDS).logits, before, atol=1e-3)


@pytest.mark.parametrize("adapter", [Full(), lora(), lora(dora=True)])
def test_trains_agrees_with_requires_grad(adapter: Adapter) -> None:
    model = adapter.apply(tiny(), seed=0)
    trained = {n for n, p in model.named_parameters() if adapter.trains(n)}
    assert trained == {n for n, p in model.named_parameters() if p.requires_grad}
    assert len(trained) == len(list(adapter.tensors(model)))


def test_number_of_trained_parameters_is_the_arithmetic() -> None:
    def trained(adapter: Lora) -> int:
        model = adapter.apply(tiny(), seed=0)
        return sum(p.numel() for n, p in model.named_parameters() if adapter.trains(n))

    outputs = {"q": 16, "k": 8, "v": 8, "up": 24, "down": 16}
    inputs = {"q": 16, "k": 16, "v": 16, "up": 16, "down": 24}
    plain = 2 * 3 * (sum(inputs.values()) + sum(outputs.values()))
    assert trained(lora(r=3)) == plain
    assert trained(lora(r=3, dora=True)) == plain + 2 * sum(outputs.values())


@pytest.mark.parametrize("rslora", [False, True])
def test_scale(rslora: bool) -> None:
    adapted = adapted_modules(lora(r=4, alpha=6, rslora=rslora).apply(tiny(), seed=0))
    expected = 6 / math.sqrt(4) if rslora else 6 / 4
    assert {module.scaling["default"] for module in adapted.values()} == {expected}


def test_seed_draws_the_adapter_and_global_streams_are_left_alone() -> None:
    def drawn(seed: int) -> list[torch.Tensor]:
        adapter, model = lora(), tiny()
        before = torch.get_rng_state()
        tensors = [tensor for _, tensor in adapter.tensors(adapter.apply(model, seed))]
        assert torch.equal(torch.get_rng_state(), before)
        return tensors

    torch.manual_seed(5)
    first, again, other = drawn(0), drawn(0), drawn(1)
    assert all(map(torch.equal, first, again))
    assert not all(map(torch.equal, first, other))


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_adapters_have_the_models_dtype_on_meta_too(dtype: torch.dtype, dora: bool) -> None:
    adapted = lora(dora=dora).apply(tiny(dtype=dtype), seed=0)
    assert {p.dtype for p in adapted.parameters()} == {dtype}

    on_meta = lora(dora=dora).apply(tiny(dtype=dtype).to("meta"), seed=0)
    assert [(n, p.shape, p.dtype) for n, p in on_meta.named_parameters()] == [
        (n, p.shape, p.dtype) for n, p in adapted.named_parameters()
    ]
    assert all(p.is_meta for p in on_meta.parameters())


def test_dropout_acts_in_training_only() -> None:
    adapter = lora(dropout=0.5)
    model = adapter.apply(tiny(), seed=0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    assert torch.equal(model(IDS).logits, model(IDS).logits)
    model.train()
    assert not torch.equal(model(IDS).logits, model(IDS).logits)


def test_unknown_target_names_the_linear_modules() -> None:
    with pytest.raises(UserError, match="no linear module is named o_projj") as error:
        lora(targets=("q_proj", "o_projj")).apply(tiny(), seed=0)
    assert error.value.hint is not None
    assert "lm_head, mlp.down_proj" in error.value.hint and "layers.0" not in error.value.hint


def test_targets_are_those_that_there_are() -> None:
    """Mixtral's experts are no linear modules, and CTRL has other names for all of them."""
    config = AutoConfig.for_model("mixtral", **GATED, num_local_experts=2)
    mixtral = lora().apply(AutoModelForCausalLM.from_config(config), seed=0)
    assert {name.rpartition(".")[2] for name in adapted_modules(mixtral)} == {
        "q_proj",
        "k_proj",
        "v_proj",
    }
    assert 0.1 < adapter_reach(mixtral, lora()) < 0.2
    config = AutoConfig.for_model("ctrl", vocab_size=40, n_embd=16, dff=24, n_layer=2, n_head=4)
    ctrl = lora().apply(AutoModelForCausalLM.from_config(config), seed=0)
    assert len(adapted_modules(ctrl)) == 2 * 6
    assert adapter_reach(ctrl, lora()) > 0.9


def test_targets_that_peft_takes_for_fused_experts_are_left_alone_or_refused() -> None:
    """Ernie 4.5 has linear `up_proj` in its shared experts and first layers, and fused experts."""
    options = {**GATED, "moe_num_experts": 4, "moe_intermediate_size": 8}
    config = AutoConfig.for_model("ernie4_5_moe", **options, moe_layer_start_index=1)
    adapted = lora().apply(AutoModelForCausalLM.from_config(config), seed=0)
    assert not any("mlp" in name for name in adapted_modules(adapted))
    with pytest.raises(UserError, match="peft cannot adapt them: .*gate_proj"):
        lora(targets=("q_proj", "up_proj")).apply(AutoModelForCausalLM.from_config(config), seed=0)


@pytest.mark.parametrize(
    "options", [{}, {"r": 2}, {"r": 2, "alpha": 4, "rank": 3}, {"r": 2, "alpha": 4, "targets": []}]
)
def test_rank_and_alpha_are_asked_for_and_unknown_options_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Lora.Options(**options)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft's own
@pytest.mark.parametrize("dora", [False, True])
def test_saved_adapter_loads(dora: bool, tmp_path: Path, tokenizer_folder: Path) -> None:
    adapter, base = lora(dora=dora), tiny()
    weights = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    model = adapter.apply(base, seed=0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if adapter.trains(name):
                parameter.add_(0.1)
    adapter.save(model, AutoTokenizer.from_pretrained(tokenizer_folder), tmp_path)

    fresh = tiny()
    fresh.load_state_dict(weights)
    loaded = PeftModel.from_pretrained(fresh, tmp_path).eval()
    assert torch.equal(loaded(IDS).logits, model(IDS).logits)
    assert not list(tmp_path.glob("*.bin")) and (tmp_path / "tokenizer.json").is_file()


def test_saved_full_model_loads(tmp_path: Path, tokenizer_folder: Path) -> None:
    model = Full().apply(tiny(), seed=0)
    Full().save(model, AutoTokenizer.from_pretrained(tokenizer_folder), tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(loaded(IDS).logits, model(IDS).logits)
    assert AutoTokenizer.from_pretrained(tmp_path)("one two")["input_ids"] == [2, 3]


MIXTRAL = AutoConfig.for_model("mixtral", **GATED, num_local_experts=2)


def test_fused_experts_are_adapted_one_by_one(tmp_path: Path, tokenizer_folder: Path) -> None:
    adapter = lora(experts=True)
    base = AutoModelForCausalLM.from_config(MIXTRAL)
    weights = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    model = adapter.apply(base, seed=0)
    assert adapter_reach(model, adapter) > 0.85
    shapes = {n.rpartition("experts.")[2]: p.shape for n, p in model.named_parameters()}
    assert shapes["lora_A.default.weight"] != shapes["base_layer.lora_A.default.weight"]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if adapter.trains(name):
                parameter.add_(0.1)
    trained = model(IDS).logits
    experts = [
        name for name, _ in model.named_parameters() if adapter.trains(name) and "experts" in name
    ]
    with adapter.suppressed(model, experts, 0.0), torch.no_grad():
        assert not torch.equal(model(IDS).logits, trained)
    adapter.save(model, AutoTokenizer.from_pretrained(tokenizer_folder), tmp_path)
    fresh = AutoModelForCausalLM.from_config(MIXTRAL)
    fresh.load_state_dict(weights)
    again = adapter.apply(fresh, seed=1)
    adapter.load(again, tmp_path)
    assert torch.equal(again(IDS).logits, trained)


def test_experts_are_refused_where_none_are_fused_or_peft_cannot() -> None:
    with pytest.raises(UserError, match=r"adapter\.experts: .* no experts that are fused"):
        lora(experts=True).apply(tiny(), seed=0)
    for options in ({"dora": True}, {"dropout": 0.1}):
        with pytest.raises(ValidationError, match="without dropout and DoRA"):
            lora(experts=True, **options)
