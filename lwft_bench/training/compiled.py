"""Decoder layers that are compiled, each by itself.

Each layer's backward pass gives all of its gradients at once, before the first hook; those of the
layers below do not exist yet. So an update in the backward pass holds a layer's gradients at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.utils import _python_dispatch

BACKEND = "inductor"
VARIANTS = 32
"""Of one class's layers: four ways in which gradients pass a layer, times kinds of layers and rows."""


def compile_layers(layers: Iterable[nn.Module]) -> None:
    """From now on they run compiled while they train, and as ever in evaluation.

    Layers of one class share what is compiled, for any number of rows and tokens.
    """
    from torch._dynamo import config  # takes a second to import

    config.recompile_limit = VARIANTS
    # Or what comes after them would run uncompiled, and nothing would tell.
    config.fail_on_recompile_limit_hit = True
    for layer in layers:
        layer.forward = _while_training(layer, layer.forward)


def _while_training(layer: nn.Module, plain: Callable[..., Any]) -> Callable[..., Any]:
    compiled = torch.compile(plain, dynamic=True, backend=BACKEND)

    def forward(*arguments: Any, **options: Any) -> Any:
        is_counted = bool(_python_dispatch._get_current_dispatch_mode_stack())
        if is_counted or not (layer.training and torch.is_grad_enabled()):
            return plain(*arguments, **options)
        return compiled(*arguments, **options)

    return forward
