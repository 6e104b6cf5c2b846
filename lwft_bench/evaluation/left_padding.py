"""Which prompts a model answers together as it does alone, and generation for no others at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal
from unittest.mock import patch

import torch
from torch import nn
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

LENGTHS = (5, 11)
"""Tokens of the compared prompts."""
NEW_TOKENS = 3

Together = Literal["any", "one length", "single"]
"""Prompts that may be in one batch."""

_Generated = list[tuple[torch.Tensor, int]]
"""For each new token of the first row: the logits in float32, and which was chosen."""


def rows_together(model: nn.Module, padding: int) -> Together:
    """Compares a short row's logits alone with those beside a longer row, and beside a like one."""
    short, rows, mask = _prompts(model, padding)
    alone = _generated(model, short, torch.ones_like(short), padding)
    if _alike(model, alone, _generated(model, rows, mask, padding)):
        return "any"
    twice = short.repeat(2, 1)
    beside_itself = _generated(model, twice, torch.ones_like(twice), padding)
    return "one length" if _alike(model, alone, beside_itself) else "single"


def rows_may_leave(model: nn.Module, padding: int, loop: Callable[..., torch.Tensor]) -> bool:
    """Compares a short row's logits alone with those after a longer row has left the batch.

    Args:
        loop: what `generate` takes as `custom_generate`. It may raise anything at all where a model's
            cache cannot be taken apart by rows, or is kept elsewhere: then its rows stay. They stay too
            where a longer row decides on a shorter one's angles.
    """
    if angles_follow_the_longest(model):
        return False
    short, rows, mask = _prompts(model, padding)
    alone = _generated(model, short, torch.ones_like(short), padding)
    ends = StoppingCriteriaList([_OthersEnd()])
    try:
        found = _generated(model, rows, mask, padding, custom_generate=loop, stopping_criteria=ends)
    except Exception:  # of a model's own code, which may raise anything: then rows stay
        return False
    return _alike(model, alone, found)


def angles_follow_the_longest(model: Any) -> bool:
    """Whether all rows' rotary angles change once the longest passes some length (longrope, dynamic).

    That length is far beyond what is tried here.
    """
    found: list[Any] = [model.config.to_dict()]
    while found:
        value = found.pop()
        if isinstance(value, dict):
            if {value.get("rope_type"), value.get("type")} & {"longrope", "dynamic"}:
                return True
            found.extend(value.values())
    return False


def rounding(model: nn.Module) -> float:
    """What rounding may do to logits of a model in its dtype, in standard deviations of them."""
    return 1e-3 if next(model.parameters()).dtype == torch.float32 else 1e-1


def _prompts(model: Any, padding: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A short prompt, [1, length]; it with a longer one in one batch; that batch's mask."""
    device = next(model.parameters()).device
    size = model.get_input_embeddings().weight.shape[0]
    prompts = [(torch.arange(length, device=device) * 7 + 5) % size for length in LENGTHS]
    longest = max(LENGTHS)
    rows = torch.full((len(prompts), longest), padding, device=device)
    mask = torch.zeros_like(rows)
    for row, prompt in enumerate(prompts):
        rows[row, longest - len(prompt) :] = prompt
        mask[row, longest - len(prompt) :] = 1
    return prompts[0][None], rows, mask


def _alike(model: nn.Module, one: _Generated, other: _Generated) -> bool:
    """Whether the logits are the same, as long as they follow the same tokens."""
    share = rounding(model)
    for (left, chosen), (right, chosen_too) in zip(one, other, strict=False):
        if float((left - right).abs().max()) > share * float(left.std()):
            return False
        if chosen != chosen_too:
            break
    return True


class _Remembers(LogitsProcessor):
    """Keeps the first row's logits of every step."""

    def __init__(self) -> None:
        self.seen: _Generated = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.seen.append((scores[0].float(), int(scores[0].argmax())))
        return scores


class _OthersEnd(StoppingCriteria):
    """Ends every row but the first after its first token."""

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.BoolTensor:
        ended = torch.ones(len(input_ids), dtype=torch.bool, device=input_ids.device)
        ended[0] = False
        return ended  # type: ignore[return-value]


def _generated(
    model: Any, rows: torch.Tensor, mask: torch.Tensor, padding: int, **options: Any
) -> _Generated:
    """No end-of-sequence token ends what is compared."""
    watch = _Remembers()
    with torch.no_grad(), patch.object(model, "generation_config", GenerationConfig()):
        model.generate(
            input_ids=rows,
            attention_mask=mask,
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            pad_token_id=padding,
            logits_processor=LogitsProcessorList([watch]),
            use_cache=True,
            **options,
        )
    return watch.seen


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
