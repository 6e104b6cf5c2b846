"""Which prompts a model answers together as it does alone, and generation for no others at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import nn

LENGTHS = (5, 11)
"""Tokens of the compared prompts."""
NEW_TOKENS = 3
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 1e-1}
"""Of logits, in standard deviations of them: what rounding may do."""

Together = Literal["any", "one length", "single"]
"""Prompts that may be in one batch."""

_Generated = list[tuple[torch.Tensor, int]]
"""For each new token of the first row: the logits, and which was chosen."""


def rows_together(model: nn.Module, padding: int) -> Together:
    """Compares a short row's logits alone with those beside a longer row, and beside a like one."""
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
    short = prompts[0][None]
    alone = _generated(causal_lm, short, torch.ones_like(short), padding)
    if _alike(alone, _generated(causal_lm, rows, mask, padding)):
        return "any"
    twice = short.repeat(2, 1)
    beside_itself = _generated(causal_lm, twice, torch.ones_like(twice), padding)
    return "one length" if _alike(alone, beside_itself) else "single"


def _alike(one: _Generated, other: _Generated) -> bool:
    """Whether the logits are the same, as long as they follow the same tokens."""
    for (left, chosen), (right, chosen_too) in zip(one, other, strict=False):
        allowed = _TOLERANCE.get(left.dtype, 1e-1) * float(left.float().std())
        if float((left.float() - right.float()).abs().max()) > allowed:
            return False
        if chosen != chosen_too:
            break
    return True


def _generated(model: Any, rows: torch.Tensor, mask: torch.Tensor, padding: int) -> _Generated:
    with torch.no_grad():
        generated = model.generate(
            input_ids=rows,
            attention_mask=mask,
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            pad_token_id=padding,
            return_dict_in_generate=True,
            output_logits=True,
            use_cache=True,
        )
    chosen = generated.sequences[0, rows.shape[1] :].tolist()
    return [(logits[0], token) for logits, token in zip(generated.logits, chosen, strict=True)]


def generated_without_padding(
    rows: torch.Tensor,
    mask: torch.Tensor,
    padding: int,
    generate: Callable[[torch.Tensor], torch.Tensor],
    *,
    single: bool = False,
) -> torch.Tensor:
    """Generates for rows of one length at a time, or single ones, and puts the answers together.

    Args:
        rows: [rows, longest prompt], padded on the left where `mask` is 0.
        generate: gets rows without padding, [rows, length], and returns them with their answers.

    Returns:
        The rows with their answers, padded on the right.
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for row, length in enumerate(mask.sum(1).tolist()):
        groups.setdefault((length, row if single else 0), []).append(row)
    answers: list[torch.Tensor] = [rows.new_empty(0)] * len(rows)
    for (length, _), chosen in sorted(groups.items()):
        found = generate(rows[chosen, rows.shape[1] - length :])
        for row, answered in zip(chosen, found, strict=True):
            answers[row] = answered[length:]
    padded = nn.utils.rnn.pad_sequence(answers, batch_first=True, padding_value=padding)
    return torch.cat([rows, padded], 1)
