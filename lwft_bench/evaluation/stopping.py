"""Texts that end a response, each row of a batch for itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase, StoppingCriteria


class StopTexts(StoppingCriteria):
    """Ends a row as soon as one of the texts stands in what it generated.

    lm-eval's own criterion goes on until all rows of the batch have the same text: a row that ends
    by another one, or by the end-of-sequence token, keeps all of them going to the last token.
    transformers' `stop_strings` would also find a text that begins in the prompt.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        texts: Sequence[str],
        *,
        prompt_length: int,
        batch_size: int,
    ) -> None:
        self._tokenizer = tokenizer
        self._texts = texts
        self._prompt_length = prompt_length
        # A token adds a byte at least. One more: decoding may drop a space before the first.
        self._num_tokens = max(len(text.encode()) for text in texts) + 1
        self._done = [False] * batch_size

    def __call__(
        self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any
    ) -> torch.BoolTensor:
        """input_ids: [rows, tokens], prompts included. Returns [rows]."""
        first = max(self._prompt_length, input_ids.shape[1] - self._num_tokens)
        tails = input_ids[:, first:].tolist()
        for row, tail in enumerate(tails):
            if not self._done[row]:
                self._done[row] = tail[-1] == self._tokenizer.eos_token_id or self._stands_in(tail)
        done = torch.tensor(self._done, dtype=torch.bool, device=input_ids.device)
        return done  # type: ignore[return-value]

    def _stands_in(self, tail: list[int]) -> bool:
        generated = self._tokenizer.decode(tail)
        return any(text in generated for text in self._texts)
