"""The experts of a mixture that transformers keeps in tensors of three dimensions. Light to import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lwft_bench.schema.errors import UserError

if TYPE_CHECKING:
    from torch import nn


def fused_experts(model: nn.Module) -> list[str]:
    """Qualified names of the parameters in layers that hold one matrix an expert.

    Kernels of convolutions have three dimensions, too, and are none.
    """
    from torch.nn.modules.conv import _ConvNd

    from lwft_bench.models.parts import find_parts

    found = []
    for layer in find_parts(model).layer_parameters:
        for name, parameter in layer.items():
            owner = model.get_submodule(name.rpartition(".")[0])
            if parameter.dim() == 3 and min(parameter.shape) > 1 and not isinstance(owner, _ConvNd):
                found.append(name)
    return found


def require_fused_experts(model: nn.Module) -> list[str]:
    """The same.

    Raises:
        UserError: The model has none.
    """
    found = fused_experts(model)
    if not found:
        raise UserError(
            "adapter.experts: the model's layers have no experts that are fused into one tensor",
            "Leave it out; experts that are linear modules are reached by `targets`.",
        )
    return found
