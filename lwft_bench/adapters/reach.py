"""How much of a model's layers an adapter trains or stands beside."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from lwft_bench.adapters.base import Adapter


def adapter_reach(model: nn.Module, adapter: Adapter) -> float:
    """The share of the layers' own weights that the adapter trains, or that its weights adapt.

    Of the applied model. Biases and norms count; modules that the adapter leaves alone (the experts
    of a mixture, state-space layers) are what is missing from 1. Weights that are kept as codes count
    one by one.
    """
    sizes, adapted = _sizes(model, adapter)
    reached = sum(size for name, size in sizes.items() if adapter.module_of(name) in adapted)
    return reached / sum(sizes.values()) if sizes else 0.0


def unquantised(model: nn.Module, adapter: Adapter) -> float | None:
    """The share of the layers' own weights that an adapter which quantises leaves as they are.

    None: the adapter quantises nothing.
    """
    codes = adapter.quantised(model)
    total = sum(_sizes(model, adapter)[0].values())
    return 1 - sum(codes.values()) / total if codes else None


def _sizes(model: nn.Module, adapter: Adapter) -> tuple[dict[str, int], set[str]]:
    """Of the layers: how many weights stand under each name, and the modules that are adapted."""
    from lwft_bench.models.parts import find_parts

    parameters = {
        name: parameter
        for layer in find_parts(model).layer_parameters
        for name, parameter in layer.items()
    }
    adapted = {adapter.module_of(name) for name in parameters if adapter.trains(name)}
    own = {name: p.numel() for name, p in parameters.items() if not adapter.adds(name)}
    return own | adapter.quantised(model), adapted
