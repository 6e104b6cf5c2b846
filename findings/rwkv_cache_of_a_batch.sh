#!/bin/sh
# transformers' RWKV, token by token with its state, answers two equal rows otherwise than one row
# alone: the state of a row is broadcast over the batch, which then counts as positions.
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
"""The next-token logits of a small random RWKV for one row, and for the same row twice."""

import platform
import sys

import torch
import transformers
from transformers import RwkvConfig, RwkvForCausalLM

transformers.logging.set_verbosity_error()
config = RwkvConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2, context_length=64)
model = RwkvForCausalLM(config).eval()
generator = torch.Generator().manual_seed(0)
for parameter in model.parameters():
    parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
row = torch.randint(0, 64, (1, 9), generator=generator)
PREFIX = 5


@torch.no_grad()
def whole(ids: torch.Tensor) -> torch.Tensor:
    """All tokens at once, without a state."""
    return model(ids, use_cache=False).logits


@torch.no_grad()
def token_by_token(ids: torch.Tensor) -> torch.Tensor:
    """A prefix, then a token at a time, each with the state of those before, as generate does."""
    output = model(ids[:, :PREFIX], use_cache=True)
    for at in range(PREFIX, ids.shape[1]):
        output = model(ids[:, at : at + 1], state=output.state, use_cache=True)
    return output.logits


def continued(ids: torch.Tensor, use_cache: bool) -> list[list[int]]:
    made = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=8,
        min_new_tokens=8,
        do_sample=False,
        use_cache=use_cache,
        pad_token_id=0,
    )
    return made[:, ids.shape[1] :].tolist()


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return (one - other).abs().max().item()


twice = row.repeat(2, 1)
expected = whole(row)[0, -1]
cached_alone = token_by_token(row)
cached_twice = token_by_token(twice)
without = apart(whole(twice)[:, -1], expected)
alone = apart(cached_alone[0, -1], expected)
both = apart(cached_twice[:, -1], expected)
answers = continued(row, True), continued(twice, True), continued(twice, False)

print(
    f"python {platform.python_version()}, torch {torch.__version__}, "
    f"transformers {transformers.__version__}, on the CPU"
)
print("One row of nine tokens, and the same row twice; no padding. Largest logit:", end=" ")
print(f"{expected.abs().max().item():.2f}.")
print("Guess: rows of a batch do not see each other; a state only saves work.")
print(f"Seen:  without state, the row twice: {without:.1e} apart from the row alone")
print(f"       token by token, the row alone: {alone:.1e}")
print(f"       token by token, the row twice: {both:.1e}")
print(f"       logits of one token a row: {list(cached_twice.shape)}, not [2, 1, 64]")
print(f"       eight tokens generated, alone: {answers[0][0]}")
print(f"       of the row twice, use_cache=True: {answers[1]}")
print(f"       of the row twice, use_cache=False: {answers[2]}")
print("The state of the last token is [batch, d] and is mixed with hidden states of [batch, 1, d]:")
print("the result is [batch, batch, d], whose second dimension then counts as positions.")
as_described = (
    without < 1e-4
    and alone < 1e-4
    and both > 1e-2
    and list(cached_alone.shape) == [1, 1, 64]
    and list(cached_twice.shape) == [2, 2, 64]
    and answers[2] == [answers[0][0]] * 2
    and answers[1] != answers[2]
)
print("As described." if as_described else "CHANGED: not as described.")
sys.exit(0 if as_described else 1)
PYTHON
status=0
OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 "$folder/venv/bin/python" "$folder/check.py" || status=1
exit "$status"
