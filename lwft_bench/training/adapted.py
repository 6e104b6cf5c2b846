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
    adapter_class = adapters.get(cell.method.adapter.name)
    return adapter_class(adapter_class.Options(**cell.method.adapter.options))
