"""Texts that end a response, each row of a batch for itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from transformers import PreTrainedTokenizerBase, StoppingCriteria


class Endings:
    """Where the texts end a row, told by its last tokens.

    A text can be complete only by a token that has its last character, so that rows are decoded after
    such tokens alone.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._texts = texts
        # A token adds a byte at least. One more: decoding may drop a space before the first.
        self.num_tokens = max((len(text.encode()) for text in texts), default=0) + 1
        self.may_end = _may_end(tokenizer, frozenset(text[-1] for text in texts))

    @property
    def single(self) -> list[int] | None:
        """The tokens that end a row whatever stands before them, where no others do; else None."""
        if not all(map(_tells_by_itself, self._texts)):
            return None
        tokens: list[int] = self.may_end[:-1].nonzero().flatten().tolist()
        return tokens

    def end(self, tail: list[int]) -> bool:
        """tail: at most the last `num_tokens` tokens that a row generated, one at least."""
        if tail[-1] == self._tokenizer.eos_token_id:
            return True
        generated = self._tokenizer.decode(tail)
        return any(text in generated for text in self._texts)

    def length(self, row: list[int], limit: int) -> int:
        """How many of a row's tokens are its answer: up to the first that ends it, at most `limit`."""
        last = len(self.may_end) - 1
        for number, token in enumerate(row[:limit], 1):
            tail = row[max(0, number - self.num_tokens) : number]
            if self.may_end[min(token, last)] and self.end(tail):
                return number
        return limit


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
        self._endings = Endings(tokenizer, texts)
        self._prompt_length = prompt_length
        self._done = torch.zeros(batch_size, dtype=torch.bool)

    def __call__(
        self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any
    ) -> torch.BoolTensor:
        """input_ids: [rows, tokens], prompts included. Returns [rows]."""
        last = input_ids[:, -1].cpu()
        may_end = self._endings.may_end
        asked = may_end[last.clamp(max=len(may_end) - 1)] & ~self._done
        if asked.any():
            first = max(self._prompt_length, input_ids.shape[1] - self._endings.num_tokens)
            rows = asked.nonzero().flatten()
            tails = input_ids[rows.to(input_ids.device), first:].tolist()
            for row, tail in zip(rows.tolist(), tails, strict=True):
                self._done[row] = self._endings.end(tail)
        return self._done.to(input_ids.device, copy=True)  # type: ignore[return-value]


_KNOWN: WeakKeyDictionary[PreTrainedTokenizerBase, dict[frozenset[str], torch.Tensor]] = (
    WeakKeyDictionary()
)


def _may_end(tokenizer: PreTrainedTokenizerBase, characters: frozenset[str]) -> torch.Tensor:
    """[vocabulary + 1]: tokens after which a text with one of these last characters may be complete, and
    the end-of-sequence token; the last place stands for whatever the tokenizer does not know.

    Characters of several bytes may be put together from tokens that have none of them, and decoding may
    drop spaces: then every token may end one.
    """
    found = _KNOWN.setdefault(tokenizer, {})
    if characters not in found:
        size = len(tokenizer)
        may_end = torch.ones(size + 1, dtype=torch.bool)
        if all(map(_tells_by_itself, characters)):
            pieces = tokenizer.batch_decode([[token] for token in range(size)])
            may_end[:size] = torch.tensor(
                [not characters.isdisjoint(piece) for piece in pieces], dtype=torch.bool
            )
            if tokenizer.eos_token_id is not None and tokenizer.eos_token_id < size:
                may_end[tokenizer.eos_token_id] = True
        found[characters] = may_end
    return found[characters]


def _tells_by_itself(text: str) -> bool:
    """Whether it is a character that a token has or has not, whatever stands before the token."""
    return len(text) == 1 and text.isascii() and text != " "
