"""A model whose answers are no numbers has no score: NaN compares like an answer and is none."""

from __future__ import annotations

import torch
from transformers import LogitsProcessor


class NotFinite(ArithmeticError):
    """A log-likelihood or a logit of the model is NaN or infinite."""


class NanWatch(LogitsProcessor):
    """Notices NaN among the logits of a generation, and leaves them as they are.

    The device is asked once, at the end.
    """

    def __init__(self, device: torch.device) -> None:
        self._seen = torch.zeros((), dtype=torch.bool, device=device)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """scores: [rows, vocabulary]; returned as they came."""
        self._seen |= torch.isnan(scores).any()
        return scores

    def require_numbers(self) -> None:
        """Once the generation has ended.

        Raises:
            NotFinite: A logit was NaN.
        """
        if self._seen:
            raise NotFinite("a logit is NaN")
