"""Tokenizers that end every text: prompts would end before their answers begin."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lwft_bench.schema.cell import ModelConfig
from lwft_bench.schema.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_ANY_TEXT = "a"


def without_end(config: ModelConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    """Has the tokenizer no longer append its end-of-sequence token; examples get one where they end.

    Raises:
        UserError: it appends one in a way that is not known here.
    """
    if not _ends_texts(tokenizer):
        return
    if tokenizer.is_fast:
        _cut_templates(tokenizer)
    if _ends_texts(tokenizer):
        raise UserError(
            f"model {config.name}: the tokenizer {tokenizer.name_or_path!r} puts "
            f"{tokenizer.eos_token} behind every text, so that prompts would end before their answers",
            "set `add_eos_token: false` in its tokenizer_config.json, or mend the post_processor of "
            "its tokenizer.json",
        )


def _ends_texts(tokenizer: PreTrainedTokenizerBase) -> bool:
    end = tokenizer.eos_token_id
    return end is not None and tokenizer(_ANY_TEXT).input_ids[-1:] == [end]


def _cut_templates(tokenizer: PreTrainedTokenizerBase) -> None:
    """Takes the end-of-sequence token off the end of the templates in the fast tokenizer."""
    from tokenizers import Tokenizer

    fast = tokenizer.backend_tokenizer
    written: dict[str, Any] = json.loads(fast.to_str())
    last = written["post_processor"] or {}
    for processor in last.get("processors", [last]):
        for key in ("single", "pair"):
            pieces = processor.get(key)
            if isinstance(pieces, list) and pieces and _is_end(pieces[-1], tokenizer):
                del pieces[-1]
    fast.post_processor = Tokenizer.from_str(json.dumps(written)).post_processor


def _is_end(piece: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> bool:
    return bool(piece.get("SpecialToken", {}).get("id") == tokenizer.eos_token)
