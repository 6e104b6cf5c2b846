"""The least that trains the model alike: what is left of a trainer when all but the step is gone."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from benchmarks.peers.setting import Setting
from benchmarks.peers.sizes import EPS, LR
from benchmarks.peers.turns import Turns


def run(setting: Setting, turns: Turns) -> None:
    """Padded rows without a mask, the head on target tokens alone, fused AdamW."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForCausalLM.from_pretrained(setting.model, attn_implementation="sdpa")
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, eps=EPS, weight_decay=0.0, fused=True)
    turns.save = lambda path: model.save_pretrained(path)
    size = setting.batch_size
    for start in range(0, len(setting.rows), size):
        rows = setting.rows[start : start + size]
        longest = -(-max(len(ids) for ids, _ in rows) // 8) * 8
        ids = torch.zeros(size, longest, dtype=torch.int64)
        following = torch.full((size, longest), -100)
        for row, (tokens, prompt) in enumerate(rows):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            following[row, prompt - 1 : len(tokens) - 1] = torch.tensor(tokens[prompt:])
        kept = (following != -100).flatten().nonzero().squeeze(1).to(device)
        hidden = model.model(input_ids=ids.to(device), use_cache=False)[0]
        logits = model.lm_head(hidden.flatten(0, 1)[kept])
        cross_entropy(logits, following.to(device).flatten()[kept]).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        turns.step_done()


def weights(path: Path) -> dict[str, torch.Tensor]:
    """What a trainer has saved, by the names that transformers gives them."""
    from safetensors.torch import load_file

    return load_file(path / "model.safetensors")
