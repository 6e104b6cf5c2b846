"""A cell's model with the method's adapter: on its weights, or on none."""

from __future__ import annotations

import torch
from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel

from lwft_bench.adapters.base import Adapter
from lwft_bench.models.dropout import remove_dropout
from lwft_bench.models.loading import empty_model, load_model
from lwft_bench.plugins.registry import adapters
from lwft_bench.schema.cell import Cell
from lwft_bench.state.precision import PRECISIONS


def adapted_model(
    cell: Cell, seed: int, device: torch.device
) -> tuple[Adapter, PreTrainedModel | PeftModel]:
    """Loaded and adapted on the CPU, then brought to the device. seed: of what is initialised.

    Raises:
        UserError: the model cannot be found or read, or the adapter does not fit it.
    """
    adapter, training = _adapter(cell), cell.training
    dtype = PRECISIONS[training.precision].weight
    model = load_model(cell.model, dtype=dtype, attention=training.attention, seed=seed)
    if not training.dropout:
        remove_dropout(model)
    adapted = adapter.apply(model, seed)
    nn.Module.to(adapted, device)  # transformers' own `to` is typed as if it took a model
    return adapter, adapted


def random_adapted_model(
    cell: Cell, seed: int, device: torch.device
) -> tuple[Adapter, PreTrainedModel | PeftModel]:
    """The same for a model given by its config, with weights drawn on the device itself.

    Billions of them take seconds there. They are other numbers than the CPU draws from the seed, so
    this is for measuring time and memory; on the CPU it is `adapted_model`.
    """
    if device.type == "cpu":
        return adapted_model(cell, seed, device)
    torch.get_device_module(device).manual_seed(seed)
    with device:
        return adapted_model(cell, seed, device)


def empty_adapted_model(cell: Cell) -> tuple[Adapter, nn.Module]:
    """The same on the meta device, without weights."""
    adapter, training = _adapter(cell), cell.training
    dtype = PRECISIONS[training.precision].weight
    model = empty_model(cell.model, dtype, training.attention)
    if not training.dropout:
        remove_dropout(model)
    with torch.device("meta"):
        return adapter, adapter.apply(model, seed=0)


def choose_device(name: str) -> torch.device:
    """`auto`: the accelerator if there is one, else the CPU."""
    if name != "auto":
        return torch.device(name)
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def _adapter(cell: Cell) -> Adapter:
    adapter: Adapter = adapters.build(cell.method.adapter)
    return adapter
