"""How much of a model's layers an adapter trains or stands beside."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from lwft_bench.adapters.base import Adapter


def adapter_reach(model: nn.Module, adapter: Adapter) -> float:
    """The share of the layers' own weights that the adapter trains, or that its weights adapt.

    Of the applied model. Biases and norms count; modules that the adapter leaves alone (the experts
    of a mixture, state-space layers) are what is missing from 1.
    """
    from lwft_bench.models.parts import find_parts

    reached = total = 0
    for layer in find_parts(model).layer_parameters:
        adapted = {adapter.module_of(name) for name in layer if adapter.trains(name)}
        for name, parameter in layer.items():
            if not adapter.adds(name):
                total += parameter.numel()
                reached += parameter.numel() * (adapter.module_of(name) in adapted)
    return reached / total if total else 0.0
