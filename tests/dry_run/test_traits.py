"""What a model does to its logits, and what no gradient reaches: found alike for plans and runs."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lwft_bench.cell.model_confounds import model_confounds
from lwft_bench.dry_run.planned_selections import planned_selections
from lwft_bench.dry_run.steps import BatchShape
from lwft_bench.dry_run.traits import traits_of
from lwft_bench.models.parts import find_parts
from lwft_bench.planning.plan import needed
from lwft_bench.planning.verification import measured_peak
from lwft_bench.schema.cell import Cell, EvaluationConfig, ModelConfig, TaskConfig
from lwft_bench.training.adapted import empty_adapted_model
from lwft_bench.training.groups import make_groups
from tests.training.tiny import CPU, LLAMA, SHAPE, full_fine_tuning, method, training

SHAPES = [BatchShape(rows=2, length=8, num_targets=9)]
MIXTRAL = LLAMA | {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2}
DEEPSEEK = {
    "model_type": "deepseek_v32",
    "vocab_size": 48,
    "hidden_size": 16,
    "intermediate_size": 24,
    "moe_intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "first_k_dense_replace": 1,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "index_head_dim": 8,
    "index_n_heads": 2,
    "index_topk": 4,
}
GEMMA2 = SHAPE | {"model_type": "gemma2", "head_dim": 8, "pad_token_id": 0}
BART = {
    "model_type": "bart",
    "vocab_size": 48,
    "d_model": 16,
    "decoder_layers": 2,
    "encoder_layers": 2,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 24,
    "max_position_embeddings": 64,
}
DBRX = {
    "model_type": "dbrx",
    "vocab_size": 48,
    "d_model": 16,
    "n_layers": 2,
    "n_heads": 2,
    "max_seq_len": 64,
    "attn_config": {"kv_n_heads": 1, "rope_theta": 1e4, "clip_qkv": 8.0},
    "ffn_config": {"ffn_hidden_size": 24, "moe_num_experts": 4, "moe_top_k": 2},
}
JETMOE = {
    "model_type": "jetmoe",
    "vocab_size": 48,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "kv_channels": 8,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
}
LONGCAT = {
    "model_type": "longcat_flash",
    "vocab_size": 48,
    "hidden_size": 16,
    "ffn_hidden_size": 24,
    "expert_ffn_hidden_size": 24,
    "num_layers": 2,
    "num_attention_heads": 2,
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "head_dim": 8,
    "n_routed_experts": 4,
    "moe_topk": 2,
    "zero_expert_num": 2,
}
BY_VALUES = [DBRX, JETMOE, LONGCAT]


def cell(config: dict[str, Any], card: Any = None, **options: Any) -> Cell:
    return Cell(
        id="cell",
        model=ModelConfig(name="tiny", config=config),
        method=card or full_fine_tuning(),
        task=TaskConfig(name="none", data="none", train_examples=1, benchmarks=()),
        training=training(**options),
        evaluation=EvaluationConfig(),
        seed=0,
    )


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize(
    ("config", "own"),
    [
        (LLAMA, False),
        (GEMMA2, True),
        (GEMMA2 | {"final_logit_softcapping": None}, False),
        (SHAPE | {"model_type": "cohere2", "head_dim": 8, "logit_scale": 0.5}, True),
        (
            {"model_type": "mamba", "vocab_size": 48, "hidden_size": 16, "num_hidden_layers": 2},
            False,
        ),
    ],
)
def test_altered_logits_are_seen_and_converted_ones_are_not_altered(
    config: dict[str, Any], own: bool, precision: str
) -> None:
    assert traits_of(cell(config, precision=precision), 8).own_logits is own


def test_what_no_gradient_reaches_is_frozen_and_named() -> None:
    found = traits_of(cell(DEEPSEEK), 8).without_gradient
    assert found and all(".indexer." in name or "correction_bias" in name for name in found)
    unused = traits_of(cell(BART), 8).without_gradient
    assert unused and all(".encoder_attn" in name for name in unused)
    adapter, model = empty_adapted_model(cell(BART))
    groups = make_groups(model, find_parts(model), full_fine_tuning(), adapter, unused)
    assert unused <= set(groups.frozen)
    assert not any(unused & set(group.parameters) for group in groups.all)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize(
    "config", [MIXTRAL, DEEPSEEK, BART, GEMMA2, *BY_VALUES], ids=lambda c: c["model_type"]
)
def test_plan_is_the_account_of_a_real_step(config: dict[str, Any], precision: str) -> None:
    card = method("lisa", strategy_num_active=1, always_train=("embed", "head"))
    tiny = cell(config, card, precision=precision)
    adapter, model = empty_adapted_model(tiny)
    untrained = traits_of(tiny, 8).without_gradient
    groups = make_groups(model, find_parts(model), card, adapter, untrained)
    drawn = planned_selections(card, groups.seen_by_strategy(), 4, 0)
    plan = needed(tiny, SHAPES, drawn, 0)
    assert plan.peak_bytes == measured_peak(tiny, SHAPES, drawn, CPU).allocated
    if config in BY_VALUES:
        assert traits_of(tiny, 8).even_choices


def test_what_stands_at_an_even_choice_is_declared() -> None:
    tiny = cell(DBRX)
    found = model_confounds(tiny, traits_of(tiny, 8))
    assert found["memory.choices"] == "even"
    assert "memory.choices" not in model_confounds(cell(LLAMA), traits_of(cell(LLAMA), 8))


def test_a_models_own_refusal_is_not_called_a_dependence_on_values() -> None:
    reformer = {
        "model_type": "reformer",
        "is_decoder": True,
        "vocab_size": 48,
        "hidden_size": 32,
        "axial_pos_shape": [4, 4],
        "axial_pos_embds_dim": [16, 16],
        "attn_layers": ["local", "local"],
    }
    problem = traits_of(cell(reformer), 8).problem or ""
    assert problem.startswith("its own code fails on 2 rows of 8 tokens (ValueError: If training")


def test_weights_that_stay_in_float32_do_so_without_weights_too() -> None:
    _, model = empty_adapted_model(cell(DEEPSEEK, precision="bf16"))
    kept = {n for n, t in model.state_dict().items() if t.dtype == torch.float32}
    assert kept and all("e_score_correction_bias" in name for name in kept)
