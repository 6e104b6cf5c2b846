#!/bin/sh
# transformers' Trainer drops weight_decay in silence with the optimizers of GaLore and APOLLO: it gives
# their parameter groups none, and their own is 0. Two runs with and without it end in the same bits.
# Exit 0: seen as described. 1: it changed. 2: the packages could not be installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 2' INT TERM
{
    "${PYTHON:-python3}" -m venv "$folder/venv" &&
        "$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
            torch==2.13.0 numpy==2.4.6 transformers==5.23.0 tokenizers==0.23.3 accelerate==1.15.0 \
            galore-torch==1.0 apollo-torch==1.0.3
} || exit 2

cat >"$folder/check.py" <<'PYTHON'
"""A small Llama trained for four steps with weight_decay 0 and 0.5, by the name of the optimizer."""

import contextlib
import io
import logging
import platform
import sys
from importlib.metadata import version

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

LOW_RANK = {
    "optim_target_modules": ["q_proj", "v_proj", "up_proj"],
    "optim_args": "rank=4, update_proj_gap=2, scale=1.0",
}
OPTIMIZERS = {
    "adamw_torch": (True, {}),
    "adafactor": (True, {}),
    "galore_adamw": (False, LOW_RANK),
    "galore_adamw_layerwise": (False, LOW_RANK),
    "galore_adafactor": (False, LOW_RANK),
    "apollo_adamw": (False, LOW_RANK),
}
"""An optimizer -> whether weights decay, and what else it is given."""
ROWS = [{"input_ids": [(7 * n + k) % 60 for n in range(12)]} for k in range(16)]
for row in ROWS:
    row["labels"] = row["input_ids"]


def trained(name: str, options: dict, decay: float) -> tuple[torch.Tensor, str]:
    """All weights after training, as one vector, and what was said."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
    )
    model = LlamaForCausalLM(config)
    settings = TrainingArguments(
        output_dir=sys.argv[1],
        optim=name,
        weight_decay=decay,
        learning_rate=1e-2,
        max_steps=4,
        per_device_train_batch_size=4,
        use_cpu=True,
        seed=0,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        **options,
    )
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    transformers.logging.add_handler(handler)
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        Trainer(model, settings, train_dataset=ROWS).train()
    transformers.logging.remove_handler(handler)
    return torch.cat([p.detach().flatten() for p in model.parameters()]), said.getvalue()


print(
    f"Python {platform.python_version()}, torch {torch.__version__}, "
    f"transformers {transformers.__version__}, "
    f"galore-torch {version('galore-torch')}, apollo-torch {version('apollo-torch')}"
)
print("Guess: TrainingArguments(weight_decay=0.5) decays weights whatever optim is, or is refused.")
as_described = True
for name, (decays, options) in OPTIMIZERS.items():
    (without, _), (with_decay, said) = (trained(name, options, decay) for decay in (0.0, 0.5))
    same = torch.equal(without, with_decay)
    told = "decay" in said.lower()
    print(
        f"Seen:  {name}: norm of all weights {without.norm():.4f} without it, "
        f"{with_decay.norm():.4f} with it; equal to the bit: {same}; told: {told}"
    )
    as_described &= same != decays and not told
print("As described." if as_described else "CHANGED: not as described.")
sys.exit(0 if as_described else 1)
PYTHON
status=0
OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 \
    "$folder/venv/bin/python" -W ignore "$folder/check.py" "$folder/out" || status=1
exit "$status"
