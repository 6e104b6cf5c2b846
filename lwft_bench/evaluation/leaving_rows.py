"""Greedy generation whose rows leave their batch as they end.

transformers' own loop computes rows that have ended until the last one ends. Here the batch gets
smaller once enough of its rows have ended, and keys and values of long rows grow in place. A row's
answer does not change by that, which is looked at once a model, as it is for rows and their neighbours
(`left_padding.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import Cache, GenerationConfig

from lwft_bench.evaluation.roomy_cache import LONG, make_room

SHARE_LEFT = 0.75
"""Rows that have ended leave as soon as at most this share of the batch goes on."""

_ROWS_AT = {"attention_mask": 0, "position_ids": -2}
"""Inputs with a place for each row, and which of their dimensions that is."""


def generate_leaving(
    model: Any,
    input_ids: torch.Tensor,
    logits_processor: Callable[..., torch.Tensor],
    stopping_criteria: Callable[..., torch.Tensor],
    generation_config: GenerationConfig,
    long: int = LONG,
    **inputs: Any,
) -> torch.Tensor:
    """A decoding loop for `generate(custom_generate=...)`, which prepares the cache and the rest.

    Args:
        input_ids: [rows, prompt], padded on the left.
        logits_processor: is given the rows that are left, so it may remember nothing of single rows.
        stopping_criteria: are given all rows, with padding behind the answers of those that ended.
        long: tokens of a row from which on its keys and values grow in place.

    Returns:
        [rows, prompt and new tokens], padded on the right.
    """
    padding = generation_config.pad_token_id
    tokens, rows = input_ids, torch.arange(len(input_ids), device=input_ids.device)
    goes_on = torch.ones_like(rows, dtype=torch.bool)
    first = True
    make_room(_cache(inputs), long)
    while goes_on.any():
        here = tokens[rows]
        step = model.prepare_inputs_for_generation(
            here, next_sequence_length=None if first else 1, is_first_iteration=first, **inputs
        )
        first = False
        outputs = model(**step, return_dict=True)
        inputs = model._update_model_kwargs_for_generation(outputs, inputs)
        chosen = logits_processor(here, outputs.logits[:, -1].float()).argmax(-1)
        del outputs
        new = torch.full_like(tokens[:, 0], padding)
        new[rows] = torch.where(goes_on[rows], chosen, padding)
        tokens = torch.cat([tokens, new[:, None]], 1)
        goes_on &= ~stopping_criteria(tokens, None)
        left = goes_on[rows].nonzero().flatten()
        if 0 < len(left) <= SHARE_LEFT * len(rows):
            rows = rows[left]
            _keep(inputs, left)
    return tokens


def _keep(inputs: dict[str, Any], places: torch.Tensor) -> None:
    """Leaves these rows of everything that the next step is given."""
    for name, value in inputs.items():
        if name in _ROWS_AT and value is not None:
            inputs[name] = value.index_select(_ROWS_AT[name], places)
        elif isinstance(value, torch.Tensor):
            raise ValueError(f"what {name} has for each row is not known")
    _cache(inputs).batch_select_indices(places)


def _cache(inputs: dict[str, Any]) -> Cache:
    """The model's, which transformers has under another name from 5.24 on."""
    cache: Cache = inputs["cache" if "cache" in inputs else "past_key_values"]
    return cache
