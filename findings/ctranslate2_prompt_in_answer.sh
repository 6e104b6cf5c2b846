#!/bin/sh
# CTranslate2's generate_batch with include_prompt_in_result=False: beside a prompt of one token, the
# results of longer prompts begin with their own prompt's tokens after the first.
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
"""Greedy answers of a small random GPT-2 to a prompt alone, and beside shorter ones."""

import platform
import sys
import tempfile
from pathlib import Path

import ctranslate2
import torch
import transformers
from ctranslate2.converters import TransformersConverter
from tokenizers import Tokenizer, models
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

transformers.logging.set_verbosity_error()
model = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=64))
generator = torch.Generator().manual_seed(0)
for parameter in model.parameters():
    if parameter.ndim > 1:
        parameter.data = 0.5 * torch.randn(parameter.shape, generator=generator)
words = Tokenizer(models.WordLevel({str(n): n for n in range(64)}, unk_token="0"))
special = {name: "0" for name in ("bos_token", "eos_token", "unk_token")}
with tempfile.TemporaryDirectory() as folder:
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder)
    made = TransformersConverter(folder).convert(str(Path(folder) / "converted"))
    engine = ctranslate2.Generator(made, compute_type="float32")


def answers(*prompts: list[str]) -> list[list[str]]:
    found = engine.generate_batch(
        list(prompts), max_length=6, include_prompt_in_result=False, end_token="0"
    )
    return [one.sequences[0] for one in found]


prompt = ["7", "3", "9", "21"]
(alone,) = answers(prompt)
beside_two, _ = answers(prompt, ["4", "5"])
beside_one, short = answers(prompt, ["4"])
print(
    f"python {platform.python_version()}, torch {torch.__version__}, "
    f"transformers {transformers.__version__}, ctranslate2 {ctranslate2.__version__}, on the CPU"
)
print(f"Prompt {prompt}, at most six new tokens.")
print("Guess: the result has no token of the prompt, whatever is beside it in the batch.")
print(f"Seen:  alone: {alone}")
print(f"       beside a prompt of two tokens: {beside_two}")
print(f"       beside a prompt of one token:  {beside_one}")
as_described = (
    beside_two == alone
    and beside_one[:3] == prompt[1:]
    and beside_one[3:] == alone[:3]
    and [short] == answers(["4"])
)
print("As described." if as_described else "CHANGED: not as described.")
sys.exit(0 if as_described else 1)
PYTHON
status=0
OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 "$folder/venv/bin/python" "$folder/check.py" || status=1
exit "$status"
