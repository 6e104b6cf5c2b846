#!/bin/sh
# What a caller gives transformers' forward for its attention (`cu_seq_lens_q` and the like, with which rows
# of several sequences are told apart) reaches the attention function in some families and is dropped in
# silence in others; so are position ids.
# Exit 0: seen as described. 1: it changed. 2: the packages could not be installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 2' INT TERM
{
    "${PYTHON:-python3}" -m venv "$folder/venv" &&
        "$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
            torch==2.13.0 numpy==2.4.6 transformers==5.23.0 tokenizers==0.23.3
} || exit 2

cat >"$folder/check.py" <<'PYTHON'
"""Which arguments of `forward` a registered attention function is called with, by family."""

import platform
import sys

import torch
import transformers
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    AutoConfig,
    AutoModelForCausalLM,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

transformers.logging.set_verbosity_error()
SIZES = {
    "vocab_size": 48,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "head_dim": 8,
    "pad_token_id": 0,
}
ASKED = ("cu_seq_lens_q", "position_ids")
SEEN = {
    "llama": (True, True),
    "qwen3": (True, True),
    "gemma": (True, True),
    "gpt_neox": (True, True),
    "olmo2": (True, True),
    "stablelm": (False, True),
    "nemotron": (False, True),
    "gpt_bigcode": (True, False),
    "persimmon": (True, False),
}
calls = []


def watched(module, query, key, value, mask, **given):
    calls.append(tuple(given.get(name) is not None for name in ASKED))
    options = {name: given[name] for name in ("scaling", "dropout") if name in given}
    return sdpa_attention_forward(module, query, key, value, mask, **options)


def reached(family: str) -> tuple[bool, ...]:
    """Of ASKED, what arrived in every layer."""
    config = AutoConfig.for_model(family, **SIZES)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="watched").eval()
    lengths = (5, 7)
    ends = torch.tensor([0, 5, 12], dtype=torch.int32)
    calls.clear()
    with torch.no_grad():
        model(
            input_ids=torch.arange(1, 13)[None],
            position_ids=torch.cat([torch.arange(n) for n in lengths])[None],
            cu_seq_lens_q=ends,
            cu_seq_lens_k=ends,
            max_length_q=7,
            max_length_k=7,
            use_cache=False,
        )
    assert len(calls) == SIZES["num_hidden_layers"]
    return tuple(all(arrived) for arrived in zip(*calls, strict=True))


AttentionInterface.register("watched", watched)
AttentionMaskInterface.register("watched", sdpa_mask)
print(f"Python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}")
print("guess: what forward is given for attention arrives there, or forward refuses it")
found = {family: reached(family) for family in SEEN}
for family, arrived in found.items():
    print(f"seen:  {family}:", ", ".join(f"{n} {'arrives' if a else 'is dropped'}" for n, a in zip(ASKED, arrived)))
sys.exit(0 if found == SEEN else 1)
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/check.py"
