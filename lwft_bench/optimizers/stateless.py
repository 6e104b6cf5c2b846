"""Update rules without state: signSGD (Bernstein et al., ICML 2018) and SGD."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import NonNegativeFloat

from lwft_bench.memory.chunks import CHUNK_ELEMENTS
from lwft_bench.optimizers.base import Field, Optimizer
from lwft_bench.plugins.options import PluginOptions
from lwft_bench.plugins.registry import register_optimizer

if TYPE_CHECKING:
    import torch


class DecayOptions(PluginOptions):
    """What rules without state have in common."""

    weight_decay: NonNegativeFloat = 0.0
    """Decoupled, for every trained parameter, norms and biases included."""


class Stateless(Optimizer):
    """Base of rules that know nothing of earlier steps."""

    kind = "elementwise"
    stateless = True

    class Options(DecayOptions):
        """See DecayOptions."""

    options: Options

    def fields(self, shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Field, ...]:
        return ()

    def _decay(self, weight: torch.Tensor, lr: float) -> None:
        if self.options.weight_decay:
            weight.mul_(1 - lr * self.options.weight_decay)


@register_optimizer("sign")
class Sign(Stateless):
    """w <- w - lr (weight_decay w) - lr sign(g). A gradient of zero moves nothing."""

    def update(
        self,
        weight: torch.Tensor,
        gradient: torch.Tensor,
        state: dict[str, torch.Tensor],
        step: int,
        lr: float,
    ) -> None:
        self._decay(weight, lr)
        for start in range(0, weight.numel(), CHUNK_ELEMENTS):
            part = slice(start, start + CHUNK_ELEMENTS)
            weight[part].add_(gradient[part].sign(), alpha=-lr)


@register_optimizer("sgd")
class Sgd(Stateless):
    """w <- w - lr (weight_decay w) - lr g, without momentum."""

    def update(
        self,
        weight: torch.Tensor,
        gradient: torch.Tensor,
        state: dict[str, torch.Tensor],
        step: int,
        lr: float,
    ) -> None:
        self._decay(weight, lr)
        weight.add_(gradient, alpha=-lr)
