"""All weights trained directly. Light to import."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lwft_bench.adapters.base import Adapter
from lwft_bench.models.sharded import whole_state

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
        model.save_pretrained(str(folder), state_dict=whole_state(model))
        tokenizer.save_pretrained(folder)

    def load(self, model: Model, folder: Path) -> None:
        """By transformers, which knows how it wrote them; for a moment the model is there twice."""
        import torch

        kind: Any = type(model)
        saved = kind.from_pretrained(
            str(folder), dtype=model.dtype, use_safetensors=True, local_files_only=True
        )
        weights = dict(saved.named_parameters())
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(weights[name])
