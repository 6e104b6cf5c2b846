"""A tiny config for every causal class of the installed transformers, made from its defaults."""

from __future__ import annotations

from typing import Any

LAYERS = 4
VOCABULARY = 96

SIZES: dict[str, int] = {
    **dict.fromkeys(
        ("vocab_size", "vocab_size_per_layer_input", "unpadded_vocab_size", "decoder_vocab_size"),
        VOCABULARY,
    ),
    **dict.fromkeys(
        ("hidden_size", "d_model", "n_embd", "emb_dim", "embedding_dim", "embedding_size"), 32
    ),
    **dict.fromkeys(
        (
            "num_hidden_layers",
            "decoder_layers",
            "encoder_layers",
            "n_layer",
            "n_layers",
            "num_layers",
            "num_decoder_layers",
            "num_encoder_layers",
            "num_blocks",
            "depth",
        ),
        LAYERS,
    ),
    **dict.fromkeys(
        (
            "num_attention_heads",
            "encoder_attention_heads",
            "decoder_attention_heads",
            "num_encoder_attention_heads",
            "num_decoder_attention_heads",
            "n_head",
            "n_heads",
            "attention_heads",
            "swa_num_attention_heads",
            "mamba_n_heads",
            "mamba_num_heads",
            "n_mamba_heads",
            "linear_num_heads",
            "linear_num_value_heads",
        ),
        4,
    ),
    **dict.fromkeys(
        ("num_key_value_heads", "swa_num_key_value_heads", "num_kv_heads", "linear_num_key_heads"),
        2,
    ),
    **dict.fromkeys(
        (
            "head_dim",
            "swa_head_dim",
            "global_head_dim",
            "v_head_dim",
            "qk_rope_head_dim",
            "qk_nope_head_dim",
            "dim_head",
            "d_head",
            "attention_head_size",
            "kv_channels",
            "mamba_head_dim",
            "linear_key_head_dim",
            "linear_value_head_dim",
            "linear_head_dim",
            "index_head_dim",
            "hidden_size_per_layer_input",
            "ple_embed_dim",
            "mamba_d_state",
            "ssm_state_size",
            "state_size",
            "time_step_rank",
            "mamba_dt_rank",
            "laurel_rank",
            "gated_norm_rank",
            "adapter_rank",
            "d_rel",
            "rotary_dim",
        ),
        8,
    ),
    **dict.fromkeys(
        (
            "intermediate_size",
            "moe_intermediate_size",
            "decoder_ffn_dim",
            "encoder_ffn_dim",
            "ffn_dim",
            "ffn_hidden_size",
            "expert_ffn_hidden_size",
            "d_ff",
            "d_inner",
            "dff",
            "dim_ff",
            "feed_forward_size",
            "shared_expert_intermediate_size",
            "shared_intermediate_size",
            "shared_experts_intermediate_size",
            "moe_shared_expert_intermediate_size",
            "dense_intermediate_size",
            "intermediate_size_mlp",
        ),
        48,
    ),
    **dict.fromkeys(
        (
            "max_position_embeddings",
            "n_positions",
            "n_ctx",
            "max_seq_len",
            "context_length",
            "max_target_positions",
            "max_source_positions",
            "model_max_length",
        ),
        64,
    ),
    **dict.fromkeys(
        (
            "sliding_window",
            "sliding_window_size",
            "attention_window_size",
            "local_attention",
            "local_attention_window_len",
            "attention_chunk_size",
            "window_size",
            "keep_window_size",
            "mamba_chunk_size",
            "chunk_size",
            "mamba_d_head",
        ),
        16,
    ),
    **dict.fromkeys(("kv_lora_rank", "q_lora_rank", "o_lora_rank", "qk_head_dim", "lru_width"), 16),
    **dict.fromkeys(
        (
            "num_experts",
            "n_routed_experts",
            "num_local_experts",
            "moe_num_experts",
            "index_topk",
        ),
        4,
    ),
    **dict.fromkeys(
        (
            "num_experts_per_tok",
            "num_experts_per_token",
            "moe_topk",
            "moe_k",
            "n_group",
            "num_expert_group",
            "index_n_heads",
            "topk_group",
            "n_groups",
            "o_groups",
            "zero_expert_num",
            "mamba_expand",
        ),
        2,
    ),
    **dict.fromkeys(("first_k_dense_replace", "num_kv_shared_layers"), 1),
}
"""Values of keys, wherever a config (or one inside it) has them."""

MULTIMODAL_TOKENS = ("image_token", "video_token", "audio_token", "boi_", "eoi_", "boa_", "eoa_")
SPECIAL_TOKENS = ("pad_token_id", "bos_token_id", "eos_token_id", "eod_token_id", "sep_token_id")


def tiny_config(model_type: str) -> dict[str, Any]:
    """A suite's `model.config`: the class's defaults, with every size made small."""
    from transformers import CONFIG_MAPPING

    special = SPECIAL.get(model_type, {})
    found = {"model_type": model_type} | _overrides(CONFIG_MAPPING[model_type], special)
    return found


def _overrides(config_class: Any, special: dict[str, Any]) -> dict[str, Any]:
    from transformers import PreTrainedConfig

    try:
        defaults = config_class()
    except Exception:  # some configs have no valid defaults
        return dict(special)
    found: dict[str, Any] = {}
    depth = getattr(defaults, "num_hidden_layers", None)  # by whatever name it goes
    for key, value in vars(defaults).items():
        if key in special:
            continue
        if isinstance(value, PreTrainedConfig):
            inside = special.get(f"{key}.", {})
            found[key] = {"model_type": value.model_type} | _overrides(type(value), inside)
        elif key in SIZES:
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                found[key] = SIZES[key]
        elif key in SPECIAL_TOKENS or key.startswith(MULTIMODAL_TOKENS):
            if isinstance(value, int) and value >= VOCABULARY:
                found[key] = 1
        elif isinstance(value, list | tuple) and depth and len(value) == depth:
            found[key] = _sampled(list(value))
    heads = vars(defaults).get("num_attention_heads")
    if "num_key_value_heads" in found and vars(defaults)["num_key_value_heads"] == heads:
        found["num_key_value_heads"] = 4
    return found | {key: value for key, value in special.items() if not key.endswith(".")}


def _sampled(values: list[Any]) -> list[Any]:
    """As many as there are layers, with each different one among them, in order."""
    if all(isinstance(value, int) for value in values) and sorted(values) == values:
        return list(range(LAYERS)) if len(set(values)) == len(values) else values[:LAYERS]
    kept = sorted({str(value): at for at, value in reversed(list(enumerate(values)))}.values())
    others = (at for at in range(len(values)) if at not in kept)
    while len(kept) < LAYERS:
        kept.append(next(others))
    return [values[at] for at in sorted(kept)[:LAYERS]]


_HEADS = {"num_key_value_heads": 2, "head_dim": 8}
_ASSISTANT = {
    "model_type": "gemma4_text",
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "global_head_dim": 8,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "num_kv_shared_layers": LAYERS,
    "hidden_size_per_layer_input": 0,
    "vocab_size_per_layer_input": 0,
}
_GEMMA3N = {
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "num_kv_shared_layers": 2,
    "activation_sparsity_pattern": [0.95, 0.0, 0.0, 0.0],
}
_QSA = {
    **_HEADS,
    "indexer_n_heads": 2,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 8,
    "indexer_budget": 8,
    "indexer_compress_ratio": 4,
}
_DOTS3 = {
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "moe_intermediate_size": 48,
    "shared_experts_intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "head_dim": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "index_head_dim": 8,
    "index_n_heads": 2,
    "index_topk": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "sliding_window": 16,
    "max_position_embeddings": 64,
    "swa_num_attention_heads": 4,
    "swa_num_key_value_heads": 4,
    "swa_q_lora_rank": 16,
    "swa_kv_lora_rank": 16,
    "swa_head_dim": 16,
    "swa_qk_nope_head_dim": 8,
    "swa_v_head_dim": 8,
}
_BLT = {"hidden_size_global": 32, "cross_attn_k": 2}

SPECIAL: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1, 3]},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "blt": {
        "encoder_hash_byte_group_vocab": 50,
        "encoder_config.": _BLT,
        "decoder_config.": _BLT,
    },
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 1e4},
        "ffn_config": {"ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "deepseek_v2": {"num_experts_per_tok": 2, "n_group": 1, "topk_group": 1},
    "cohere_compass_text": {
        "rope_parameters": {
            kind: {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}
            for kind in ("full_attention", "sliding_attention")
        },
    },
    "dots1": {
        "n_routed_experts": 4,
        "num_local_experts": 4,
        "n_shared_experts": 1,
        "num_experts_per_tok": 2,
    },
    "dots3_note": {
        "text_config": _DOTS3,
        "vision_config.": {"adapter_in_dim": 32, "adapter_out_dim": 32, "num_local_experts": 4},
        "audio_config.": {"adapter_input_size": 32, "adapter_out_dim": 32},
    },
    "dots3_note_text": _DOTS3,
    "falcon_h1": {"mamba_d_ssm": 64, "mamba_d_head": 16},
    "gemma3n": {"text_config.": _GEMMA3N},
    "gemma3n_text": _GEMMA3N,
    "gemma4_assistant": {"text_config": _ASSISTANT, "backbone_hidden_size": 32},
    "gemma4_unified_assistant": {
        "text_config": _ASSISTANT | {"model_type": "gemma4_unified_text"},
        "backbone_hidden_size": 32,
    },
    "hunyuan_v1_dense": _HEADS,
    "hunyuan_v1_moe": _HEADS,
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2, "num_dense_layers": 1},
    "mamba2": {"num_heads": 8, "head_dim": 8, "n_groups": 2},
    "ministral": _HEADS,
    "nemotron": _HEADS,
    "qwen4_exp": {"text_config.": _QSA},
    "qwen4_exp_text": _QSA,
    "reformer": {
        "is_decoder": True,
        "axial_pos_shape": [8, 8],
        "axial_pos_embds_dim": [16, 16],
        "attn_layers": ["local", "lsh", "local", "lsh"],
        "num_buckets": 4,
    },
    "xmod": {"default_language": "en_XX"},
    "zamba": {
        "layers_block_type": ["linear_attention", "hybrid"] * 2,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
    },
    "zaya": {"num_experts_per_tok": 1},
}
"""Per model type: values of keys; under `key.` those of a config inside."""
