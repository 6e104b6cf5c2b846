"""Greedy generation whose rows leave their batch as they end: measured by evaluation.py only.

What it takes for granted: a decoder of the Llama kind (`position_ids` and `logits_to_keep` in its
forward pass, a cache of plain layers) and prompts that may be padded on the left.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache

from lwft_bench.evaluation.language_model import ModelInMemory
from lwft_bench.evaluation.stopping import StopTexts

FEWER = 0.75
"""Ended rows leave as soon as at most this share of the batch is left."""


class RowsLeave(ModelInMemory):
    """Ours, but for the loop."""

    def _generate(
        self, context: torch.Tensor, max_length: int, stop: list[str], **options: Any
    ) -> torch.Tensor:
        texts = [text for text in stop if text != self.tokenizer.eos_token]
        with torch.inference_mode():
            new = self._new_tokens(context, options["attention_mask"], max_length, texts)
        return torch.cat([context, new], 1)

    def _new_tokens(
        self, tokens: torch.Tensor, mask: torch.Tensor, max_length: int, texts: list[str]
    ) -> torch.Tensor:
        """tokens, mask: [rows, prompt]. Returns [rows, new tokens], padded on the right."""
        rows, limit = len(tokens), max_length - tokens.shape[1]
        answers = tokens.new_full((rows, limit), self.tokenizer.pad_token_id)
        alive, ended = torch.arange(rows), torch.zeros(rows, dtype=torch.bool)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        cache = DynamicCache(config=self.model.config)
        for step in range(limit):
            chosen = self.model(
                input_ids=tokens,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
            tokens = chosen.argmax(-1, keepdim=True)
            tokens[ended] = self.tokenizer.pad_token_id
            answers[alive, step] = tokens[:, 0]
            ended = ended | self._ends(answers[alive, : step + 1], texts)
            if ended.all():
                break
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            positions = positions[:, -1:] + 1
            if (~ended).sum() <= FEWER * len(ended):
                left = (~ended).nonzero().flatten()
                cache.batch_select_indices(left)
                alive, tokens, mask, positions = (
                    alive[left], tokens[left], mask[left], positions[left],
                )  # fmt: skip
                ended = ended[left]
        return answers

    def _ends(self, answers: torch.Tensor, texts: list[str]) -> torch.Tensor:
        """[rows]: whether a stop text or the end-of-sequence token is complete with the last token."""
        stop = StopTexts(self.tokenizer, texts, prompt_length=0, batch_size=len(answers))
        return stop(answers, answers) | (answers[:, -1] == self.tokenizer.eos_token_id)
