#!/bin/sh
# CTranslate2's converter takes Llama models of which its runtime computes something else: a head_dim of
# their own, and rope_type llama3 (Llama 3.1 and later). Nothing is said; the logits are others.
# Exit 0: seen as described. 1: it changed. 2: the packages could not be installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 2' INT TERM
{
    "${PYTHON:-python3}" -m venv "$folder/venv" &&
        "$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
            torch==2.13.0 numpy==2.4.6 transformers==5.23.0 tokenizers==0.23.3 ctranslate2==4.8.5
} || exit 2

cat >"$folder/check.py" <<'PYTHON'
"""Logits of small random Llamas by transformers and by CTranslate2, in float32."""

import platform
import sys
import tempfile
from pathlib import Path

import ctranslate2
import numpy as np
import torch
import transformers
from ctranslate2.converters import TransformersConverter
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

transformers.logging.set_verbosity_error()
SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 131072,
}
TOKENS = [(7 * number + 5) % 64 for number in range(200)]


LINEAR = {"rope_type": "linear", "rope_theta": 1e4, "factor": 8.0}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 5e5,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
CASES = {
    "plain": {},
    "linear angles": {"rope_parameters": LINEAR},
    "head_dim 16 where 32 / 4 = 8": {"head_dim": 16},
    "llama3 angles, as in Llama 3.1": {"rope_parameters": LLAMA3},
}


def difference(settings: dict) -> float:
    """The largest, in standard deviations of transformers' logits."""
    model = LlamaForCausalLM(LlamaConfig(**SIZES, **settings)).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    vocabulary = {f"<{number}>": number for number in range(64)}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<0>"))
    special = {name: "<0>" for name in ("bos_token", "eos_token", "unk_token")}
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder)
        made = TransformersConverter(folder).convert(str(Path(folder) / "converted"))
        theirs = ctranslate2.Generator(made, compute_type="float32").forward_batch([TOKENS])
    with torch.no_grad():
        own = model(torch.tensor([TOKENS])).logits[0]
    return float((torch.from_numpy(np.array(theirs))[0] - own).abs().max() / own.std())


found = {name: difference(settings) for name, settings in CASES.items()}
print(
    f"python {platform.python_version()}, torch {torch.__version__}, "
    f"transformers {transformers.__version__}, ctranslate2 {ctranslate2.__version__}, on the CPU"
)
print("Guess: what the converter takes, the runtime computes.")
print("Seen:  all are converted without a warning. Largest difference of logits, in their deviations:")
for name, value in found.items():
    print(f"       {name}: {value:.1e}")
plain, linear, head_dim, llama3 = found.values()
as_described = plain < 1e-3 and linear < 1e-3 and head_dim > 0.1 and llama3 > 0.1
print("As described." if as_described else "CHANGED: not as described.")
sys.exit(0 if as_described else 1)
PYTHON
status=0
OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 "$folder/venv/bin/python" "$folder/check.py" || status=1
exit "$status"
