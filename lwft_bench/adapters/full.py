"""All weights trained directly. Light to import."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lwft_bench.adapters.base import Adapter

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from lwft_bench.adapters.base import Model


class Full(Adapter):
    """Every parameter is trained directly."""

    name = "full"

    def apply(self, model: PreTrainedModel, seed: int) -> Model:
        return model.requires_grad_(True)

    def trains(self, name: str) -> bool:
        return True

    def tensors(self, model: Model) -> Iterable[tuple[str, Tensor]]:
        """`model.named_parameters()`: a tied weight once, under its first name."""
        return model.named_parameters()

    def save(self, model: Model, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
        """A transformers model folder."""
        model.save_pretrained(str(folder))
        tokenizer.save_pretrained(folder)
