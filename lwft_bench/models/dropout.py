"""The model's own dropout and the noise of its routers, switched off."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

_NOISE = ("jitter_noise", "input_jitter_noise", "moe_jitter_eps")
"""Widths of uniform noise. PhiMoE's `router_jitter_noise` is none: it is the threshold of its choice
of experts, in evaluation too."""


def remove_dropout(model: nn.Module) -> None:
    """Sets all dropout probabilities to zero. Before an adapter brings its own.

    Modules keep them in nn.Dropout, or as numbers that they hand to a function. The noise that
    routers of experts put on their inputs goes too.
    """
    from torch.nn import Dropout

    for module in model.modules():
        if isinstance(module, Dropout):
            module.p = 0.0
        for key, value in vars(module).items():
            if isinstance(value, float) and ("drop" in key or key in _NOISE):
                setattr(module, key, 0.0)
