"""Models of fake tensors: every shape and dtype, no data."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

Module = TypeVar("Module", bound=nn.Module)


def fake_model(model: Module, mode: FakeTensorMode) -> Module:
    """Replaces every parameter and buffer of `model`, in place, by a fake one on the CPU.

    Give it a model built (and adapted) on the meta device: nothing is ever allocated then. Tensors
    that modules share stay shared; parameters keep their requires_grad but not their hooks. Fakes
    are on the CPU because a fake CUDA device needs a CUDA build of torch.
    """
    fakes: dict[torch.Tensor, torch.Tensor] = {}

    def fake(tensor: torch.Tensor) -> torch.Tensor:
        if tensor not in fakes:
            with mode:
                empty = torch.empty_strided(
                    tensor.size(), tensor.stride(), dtype=tensor.dtype, device="cpu"
                )
            if isinstance(tensor, nn.Parameter):
                empty = nn.Parameter(empty, requires_grad=tensor.requires_grad)
            fakes[tensor] = empty
        return fakes[tensor]

    for module in model.modules():
        # Some models keep constant tables as plain attributes: those are in vars(module).
        owners: list[dict[str, Any]] = [module._parameters, module._buffers, vars(module)]
        for tensors in owners:
            for name, tensor in tensors.items():
                if isinstance(tensor, torch.Tensor):
                    tensors[name] = fake(tensor)
    return model
