#!/bin/sh
# A Llama model cast with .to(torch.bfloat16) is not the model that from_pretrained(dtype=bfloat16)
# gives, though all parameters are equal: the cast rounds the rotary frequencies.
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
"""Llama loaded in bfloat16 against Llama cast to it."""

import platform
import sys

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

transformers.logging.disable_progress_bar()
folder = sys.argv[1]
torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=32,
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=1,
    num_attention_heads=1,
    num_key_value_heads=1,
    max_position_embeddings=4096,
)
LlamaForCausalLM(config).save_pretrained(folder)

loaded = LlamaForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
again = LlamaForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
cast = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).to(torch.bfloat16).eval()

same_parameters = all(map(torch.equal, loaded.parameters(), cast.parameters()))
same_saved = loaded.state_dict().keys() == cast.state_dict().keys() and all(
    torch.equal(value, cast.state_dict()[name]) for name, value in loaded.state_dict().items()
)
position = torch.tensor([[4095]])
like = torch.zeros(1, 1, 64, dtype=torch.bfloat16)
rotaries = loaded.model.rotary_emb, cast.model.rotary_emb
dtypes = tuple(rotary.inv_freq.dtype for rotary in rotaries)
cosines = [rotary(like, position)[0].float() for rotary in rotaries]
difference = (cosines[0] - cosines[1]).abs().max().item()
tokens = torch.arange(2048)[None] % 32
with torch.no_grad():
    logits = [model(tokens).logits for model in (loaded, again, cast)]
repeatable, same_logits = torch.equal(logits[0], logits[1]), torch.equal(logits[0], logits[2])

print(
    f"python {platform.python_version()}, torch {torch.__version__}, "
    f"transformers {transformers.__version__}"
)
print("One saved Llama model, loaded with dtype=bfloat16, or in float32 and then .to(bfloat16).")
print("Guess: the same model; each parameter is rounded once, and no file or state dict differs.")
print(f"Seen:  all parameters equal: {same_parameters}; state dicts equal: {same_saved}")
print(f"       rotary_emb.inv_freq: {dtypes[0]} loaded, {dtypes[1]} cast")
print(f"       largest difference of a cosine at position 4095: {difference:.3f}")
print(f"       same logits loaded twice: {repeatable}; loaded and cast: {same_logits}")
print("inv_freq is a buffer that is not saved: from_pretrained makes it in float32 whatever dtype")
print("it is asked for, .to() rounds it, and the angle's error grows with the position.")
as_described = (
    same_parameters
    and same_saved
    and dtypes == (torch.float32, torch.bfloat16)
    and difference > 0.5
    and repeatable
    and not same_logits
)
print("As described." if as_described else "CHANGED: not as described.")
sys.exit(0 if as_described else 1)
PYTHON
status=0
OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 "$folder/venv/bin/python" "$folder/check.py" "$folder/model" ||
    status=1
exit "$status"
