#!/bin/sh
# transformers tells the sequences of a packed row apart by their position ids, but only where the model
# makes no cache of keys and values and is given no mask: with the cache, which is on unless it is turned
# off, and with a mask of ones, each sequence sees those before it. So activation checkpointing, which
# turns the cache off, changes loss and gradients.
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
"""Loss and gradient of two sequences, one by one and in DataCollatorWithFlattening's one row."""

import platform
import sys

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, DataCollatorWithFlattening

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
    "initializer_range": 0.2,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
SEQUENCES = [[(5 * n + 3) % 45 + 3 for n in range(9)], [(11 * n + 7) % 45 + 3 for n in range(9)]]
WAYS = {
    "as it comes": (True, {}, False),
    "use_cache=False": (False, {"use_cache": False}, False),
    "use_cache=False and a mask of ones": (True, {"use_cache": False}, False),
    "as it comes, checkpointing": (False, {}, True),
}
"""A way -> whether sequences see each other in it, arguments for forward, checkpointing."""


def loss_and_norm(loss: torch.Tensor, model: torch.nn.Module) -> tuple[float, float]:
    model.zero_grad()
    loss.backward()
    norms = [p.grad.norm() for p in model.parameters() if p.grad is not None]
    return loss.item(), torch.stack(norms).norm().item()


def close(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return all(abs(a - b) < 1e-4 * abs(b) for a, b in zip(one, other, strict=True))


def look(family: str) -> bool:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **SIZES)).train()
    rows = [torch.tensor([ids]) for ids in SEQUENCES]
    right = loss_and_norm(sum(model(ids, labels=ids).loss for ids in rows) / len(rows), model)
    print(
        f"{family}, one after the other: loss {right[0]:.4f}, norm of the gradient {right[1]:.4f}"
    )
    packed = DataCollatorWithFlattening()([{"input_ids": ids} for ids in SEQUENCES])
    assert "attention_mask" not in packed
    as_described = True
    for way, (mixed, arguments, checkpointing) in WAYS.items():
        given = dict(packed)
        if "mask" in way:
            given["attention_mask"] = torch.ones_like(packed["input_ids"])
        if checkpointing:
            model.activation_checkpointing_enable()
        found = loss_and_norm(model(**given, **arguments).loss, model)
        model.activation_checkpointing_disable()
        print(f"Seen:  packed, {way}: {found[0]:.4f}, {found[1]:.4f}")
        as_described &= close(found, right) != mixed
    return as_described


print(
    f"Python {platform.python_version()}, torch {torch.__version__}, "
    f"transformers {transformers.__version__}"
)
print("Guess: position ids that begin anew keep sequences apart, or do not. A cache that nobody")
print("       reads, a mask that hides nothing and checkpointing change no number.")
seen = [look(family) for family in ("llama", "qwen3", "gemma3_text")]
print("As described." if all(seen) else "CHANGED: not as described.")
sys.exit(0 if all(seen) else 1)
PYTHON
status=0
OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 "$folder/venv/bin/python" -W ignore "$folder/check.py" || status=1
exit "$status"
