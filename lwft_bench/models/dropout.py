"""The model's own dropout, switched off."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def remove_dropout(model: nn.Module) -> None:
    """Sets all dropout probabilities to zero. Before an adapter brings its own.

    Modules keep them in nn.Dropout, or as numbers that they hand to a function.
    """
    from torch.nn import Dropout

    for module in model.modules():
        if isinstance(module, Dropout):
            module.p = 0.0
        for key, value in vars(module).items():
            if "drop" in key and isinstance(value, float):
                setattr(module, key, 0.0)
