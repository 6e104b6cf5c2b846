"""Parts and layers of real model families, built small from their configs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from lwft_bench.adapters.lora import Lora
from lwft_bench.models.parts import PARTS, ModelParts, find_parts
from lwft_bench.schema.errors import UserError

SMALL = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 32,
}
GATED = {**SMALL, "intermediate_size": 24, "num_key_value_heads": 2, "pad_token_id": None}
GEMMA = {**GATED, "head_dim": 4}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": GATED,
    "gemma": GEMMA,
    "gemma2": GEMMA,
    "gemma3_text": GEMMA,
    "qwen2": GATED,
    "qwen3": {**GATED, "head_dim": 4},
    "mistral": GATED,
    "mixtral": {**GATED, "num_local_experts": 4},
    "gpt2": SMALL,
    "gpt_neox": {**SMALL, "intermediate_size": 24},
    "opt": {**SMALL, "ffn_dim": 24, "word_embed_proj_dim": 16},
    "phi": {**SMALL, "intermediate_size": 24},
    "phi3": GATED,
    "falcon": SMALL,
    "bloom": {k: v for k, v in SMALL.items() if k != "max_position_embeddings"},
    "stablelm": GATED,
    "olmo": GATED,
    "olmo2": GATED,
    "gptj": {**SMALL, "rotary_dim": 4},
    "smollm3": GATED,
    "mbart": {**SMALL, "decoder_layers": 3, "decoder_attention_heads": 4, "decoder_ffn_dim": 24},
    "trocr": {**SMALL, "decoder_layers": 3, "decoder_attention_heads": 4, "decoder_ffn_dim": 24},
    "roberta-prelayernorm": {**SMALL, "intermediate_size": 24, "is_decoder": True},
    "lfm2": {**GATED, "layer_types": ["conv", "full_attention", "conv"]},
    "jamba": {**GATED, "attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False},
}


def tiny(model_type: str, device: str = "cpu", **options: Any) -> PreTrainedModel:
    config = AutoConfig.for_model(model_type, **{**FAMILIES[model_type], **options})
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config)


def names(found: ModelParts) -> dict[str, list[str]]:
    return {part: list(found.parts[part]) for part in PARTS}


def everything(found: ModelParts) -> list[tuple[str, nn.Parameter]]:
    groups = [*found.layer_parameters, *found.parts.values()]
    return [entry for group in groups for entry in group.items()]


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("model_type", FAMILIES)
def test_partition_is_exact(model_type: str, device: str) -> None:
    model = tiny(model_type, device)
    found = find_parts(model)

    assert len(found.layers) == 3
    assert found.layers == list(model.get_submodule(found.decoder_path))
    by_name = dict(model.named_parameters())
    owned = everything(found)
    assert len(owned) == len(by_name)
    assert all(by_name[name] is parameter for name, parameter in owned)
    for index, group in enumerate(found.layer_parameters):
        assert group
        assert all(name.startswith(f"{found.decoder_path}.{index}.") for name in group)
    assert found.num_parameters() == sum(p.numel() for p in model.parameters())
    assert found.num_parameters("embed") == 40 * 16
    assert found.num_parameters("layers") + sum(map(found.num_parameters, PARTS)) == (
        found.num_parameters()
    )


@pytest.mark.parametrize("model_type", FAMILIES)
def test_order_is_that_of_the_model(model_type: str) -> None:
    model = tiny(model_type, "meta")
    found = find_parts(model)
    order = [name for name, _ in model.named_parameters()]
    for group in [*found.layer_parameters, *found.parts.values()]:
        assert list(group) == sorted(group, key=order.index)


BIASED_NORM = ["weight", "bias"]
EXPECTED: dict[str, tuple[bool, dict[str, list[str]]]] = {
    "llama": (
        False,
        {
            "embed": ["model.embed_tokens.weight"],
            "final_norm": ["model.norm.weight"],
            "head": ["lm_head.weight"],
            "other": [],
        },
    ),
    "gemma": (
        True,
        {
            "embed": ["model.embed_tokens.weight"],
            "final_norm": ["model.norm.weight"],
            "head": [],
            "other": [],
        },
    ),
    "gpt2": (
        True,
        {
            "embed": ["transformer.wte.weight"],
            "final_norm": ["transformer.ln_f.weight", "transformer.ln_f.bias"],
            "head": [],
            "other": ["transformer.wpe.weight"],
        },
    ),
    "opt": (
        True,
        {
            "embed": ["model.decoder.embed_tokens.weight"],
            "final_norm": [f"model.decoder.final_layer_norm.{n}" for n in BIASED_NORM],
            "head": [],
            "other": ["model.decoder.embed_positions.weight"],
        },
    ),
    "gpt_neox": (
        False,
        {
            "embed": ["gpt_neox.embed_in.weight"],
            "final_norm": [f"gpt_neox.final_layer_norm.{n}" for n in BIASED_NORM],
            "head": ["lm_head.weight"],
            "other": [],
        },
    ),
    "phi": (
        False,
        {
            "embed": ["model.embed_tokens.weight"],
            "final_norm": [f"model.final_layernorm.{n}" for n in BIASED_NORM],
            "head": ["lm_head.weight", "lm_head.bias"],
            "other": [],
        },
    ),
    "bloom": (
        True,
        {
            "embed": ["transformer.word_embeddings.weight"],
            "final_norm": [f"transformer.ln_f.{n}" for n in BIASED_NORM],
            "head": [],
            "other": [f"transformer.word_embeddings_layernorm.{n}" for n in BIASED_NORM],
        },
    ),
    "olmo": (  # its norms have no parameters
        False,
        {
            "embed": ["model.embed_tokens.weight"],
            "final_norm": [],
            "head": ["lm_head.weight"],
            "other": [],
        },
    ),
    "mbart": (
        True,
        {
            "embed": ["model.decoder.embed_tokens.weight"],
            "final_norm": [f"model.decoder.layer_norm.{n}" for n in BIASED_NORM],
            "head": [],
            "other": [
                "model.decoder.embed_positions.weight",
                *(f"model.decoder.layernorm_embedding.{n}" for n in BIASED_NORM),
            ],
        },
    ),
    "trocr": (  # each layer ends in a norm, so there is no final one
        True,
        {
            "embed": ["model.decoder.embed_tokens.weight"],
            "final_norm": [],
            "head": [],
            "other": [
                "model.decoder.embed_positions.weight",
                *(f"model.decoder.layernorm_embedding.{n}" for n in BIASED_NORM),
            ],
        },
    ),
    "lfm2": (  # calls its final norm so
        True,
        {
            "embed": ["model.embed_tokens.weight"],
            "final_norm": ["model.embedding_norm.weight"],
            "head": [],
            "other": [],
        },
    ),
}


@pytest.mark.parametrize("model_type", EXPECTED)
def test_names_in_each_part(model_type: str) -> None:
    tied, expected = EXPECTED[model_type]
    model = tiny(model_type, "meta")
    if hasattr(model, "embed_out"):  # gpt_neox's head in older versions of transformers
        expected = expected | {"head": ["embed_out.weight"]}
    found = find_parts(model)
    assert names(found) == expected
    assert found.tied is tied


def test_final_norm_beside_the_stacks_parent() -> None:
    found = find_parts(tiny("roberta-prelayernorm", "meta"))
    assert found.decoder_path == "roberta_prelayernorm.encoder.layer"
    assert list(found.parts["final_norm"]) == [
        f"roberta_prelayernorm.LayerNorm.{n}" for n in BIASED_NORM
    ]


def test_projections_around_the_decoder_are_other() -> None:
    found = find_parts(tiny("opt", word_embed_proj_dim=8))
    assert set(found.parts["other"]) == {
        "model.decoder.embed_positions.weight",
        "model.decoder.project_in.weight",
        "model.decoder.project_out.weight",
    }


def test_untied_head() -> None:
    found = find_parts(tiny("gemma", tie_word_embeddings=False))
    assert list(found.parts["head"]) == ["lm_head.weight"]
    assert not found.tied


def test_adapters_belong_to_their_layer() -> None:
    plain = find_parts(tiny("llama"))
    lora = Lora(Lora.Options(r=2, alpha=4))
    found = find_parts(lora.apply(tiny("llama"), seed=0))

    assert found.decoder_path == "base_model.model.model.layers"
    for index, (group, base) in enumerate(
        zip(found.layer_parameters, plain.layer_parameters, strict=True)
    ):
        adapter = [name for name in group if lora.trains(name)]
        assert len(adapter) == 2 * 5 and len(group) == len(base) + 10
        assert all(f"layers.{index}." in name for name in adapter)
    assert [len(found.parts[part]) for part in PARTS] == [len(plain.parts[p]) for p in PARTS]


def test_adapter_on_the_head_belongs_to_the_head() -> None:
    lora = Lora(Lora.Options(r=2, alpha=4, targets=("q_proj", "lm_head")))
    found = find_parts(lora.apply(tiny("llama"), seed=0))
    assert sum(map(lora.trains, found.parts["head"])) == 2


class Nested(nn.Module):
    """A language model that is one list, of an embedding, a list of lists and a head."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)]) for _ in range(3)]
        self.all = nn.ModuleList([nn.Embedding(8, 4), nn.ModuleList(layers), nn.Linear(4, 8)])

    def get_input_embeddings(self) -> nn.Module:
        return self.all[0]

    def get_output_embeddings(self) -> nn.Module:
        return self.all[2]


def test_lists_in_lists() -> None:
    found = find_parts(Nested())
    assert found.decoder_path == "all.1"
    assert [len(group) for group in found.layer_parameters] == [4, 4, 4]


class Recurrent(nn.Module):
    """A language model without a stack of layers."""

    def __init__(self, stacks: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(8, 4)
        self.stacks = nn.ModuleDict(
            {f"stack{i}": nn.ModuleList([nn.Linear(4, 4)]) for i in range(stacks)}
        )
        self.rnn = nn.LSTM(4, 4)
        self.head = nn.Linear(4, 8)

    def get_input_embeddings(self) -> nn.Module:
        return self.embed

    def get_output_embeddings(self) -> nn.Module:
        return self.head


@pytest.mark.parametrize("stacks", [0, 2])
def test_no_single_decoder_stack_is_an_error(stacks: int) -> None:
    with pytest.raises(UserError, match="no decoder stack found in Recurrent: looked for") as error:
        find_parts(Recurrent(stacks))
    assert ("stacks.stack1 (20 parameters)" in error.value.message) is (stacks == 2)


TEXT = {**GATED, "model_type": "qwen2", "head_dim": 4}
WITH_TOWERS: list[tuple[dict[str, Any], str]] = [
    ({"model_type": "got_ocr2", "text_config": TEXT}, "model.language_model.layers"),
    ({"model_type": "phi4_multimodal", **GATED}, "model.layers"),
    ({"model_type": "git", **SMALL, "intermediate_size": 24}, "git.encoder.layer"),
]


@pytest.mark.parametrize(("options", "path"), WITH_TOWERS, ids=lambda v: str(v)[:30])
def test_a_tower_larger_than_the_text_model_is_not_the_stack(
    options: dict[str, Any], path: str
) -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**options))
    parts = find_parts(model)
    assert parts.decoder_path == path and len(parts.layers) == 3
    assert parts.num_parameters("other") > parts.num_parameters("layers")


def test_layers_cut_into_several_lists_are_refused() -> None:
    config = AutoConfig.for_model("xlm", emb_dim=16, n_layers=2, n_heads=2, causal=True)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    with pytest.raises(UserError, match="cut into parts that stand in 4 lists: .*attentions"):
        find_parts(model)
