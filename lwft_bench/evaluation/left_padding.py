"""Whether a model's answers depend on the padding before them, and generation that has none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

LENGTHS = (5, 11)
"""Tokens of the compared prompts."""
NEW_TOKENS = 3
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 1e-1}
"""Of logits, in standard deviations of them: what rounding may do."""


def padding_matters(model: nn.Module, padding: int) -> bool:
    """Whether a short row's logits are others beside a longer one than alone."""
    causal_lm: Any = model
    device = next(model.parameters()).device
    size = causal_lm.get_input_embeddings().weight.shape[0]
    prompts = [(torch.arange(length, device=device) * 7 + 5) % size for length in LENGTHS]
    longest = max(LENGTHS)
    rows = torch.full((len(prompts), longest), padding, device=device)
    mask = torch.zeros_like(rows)
    for row, prompt in enumerate(prompts):
        rows[row, longest - len(prompt) :] = prompt
        mask[row, longest - len(prompt) :] = 1
    alone = _logits(causal_lm, prompts[0][None], None, padding)
    together = _logits(causal_lm, rows, mask, padding)
    allowed = TOLERANCE.get(alone.dtype, 1e-1) * float(alone.float().std())
    return float((alone[0].float() - together[0].float()).abs().max()) > allowed


def _logits(
    model: Any, rows: torch.Tensor, mask: torch.Tensor | None, padding: int
) -> torch.Tensor:
    """Of the first new token, [rows, vocabulary]. Later ones may follow other choices."""
    with torch.no_grad():
        generated = model.generate(
            input_ids=rows,
            attention_mask=torch.ones_like(rows) if mask is None else mask,
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            pad_token_id=padding,
            return_dict_in_generate=True,
            output_logits=True,
            use_cache=True,
        )
    logits: torch.Tensor = generated.logits[0]
    return logits


def generated_without_padding(
    rows: torch.Tensor,
    mask: torch.Tensor,
    padding: int,
    generate: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Generates for rows of one length at a time, and puts the answers together.

    Args:
        rows: [rows, longest prompt], padded on the left where `mask` is 0.
        generate: gets rows without padding, [rows, length], and returns them with their answers.

    Returns:
        The rows with their answers, padded on the right.
    """
    lengths = mask.sum(1).tolist()
    answers: list[torch.Tensor] = [rows.new_empty(0)] * len(rows)
    for length in sorted(set(lengths)):
        chosen = [row for row, own in enumerate(lengths) if own == length]
        found = generate(rows[chosen, rows.shape[1] - length :])
        for row, answered in zip(chosen, found, strict=True):
            answers[row] = answered[length:]
    padded = nn.utils.rnn.pad_sequence(answers, batch_first=True, padding_value=padding)
    return torch.cat([rows, padded], 1)
