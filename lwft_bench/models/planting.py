"""A positive control: layers of a pretrained model that lose what they learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lwft_bench.schema.cell import ModelConfig
from lwft_bench.schema.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def plant(model: PreTrainedModel, new: PreTrainedModel, config: ModelConfig) -> None:
    """Gives the layers that `config.reinitialise` names the weights of `new`, a model as built.

    Raises:
        UserError: the model has no such layer.
    """
    from lwft_bench.models.parts import find_parts

    layers, initial = find_parts(model).layers, find_parts(new).layers
    for index in config.reinitialise:
        if index >= len(layers):
            raise UserError(
                f"model {config.name}: reinitialise names layer {index}; the model has layers 0 to "
                f"{len(layers) - 1}"
            )
        layers[index].load_state_dict(initial[index].state_dict())
