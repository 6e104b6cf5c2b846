"""AdamW as transformers had it: epsilon is added before the bias correction, which comes at the end."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

from lwft_bench.optimizers.adamw import AdamOptions
from lwft_bench.optimizers.base import Field, Optimizer, moments

if TYPE_CHECKING:
    import torch


class UncorrectedAdamW(Optimizer):
    """What low-rank optimizers built on that AdamW do with parameters that they do not project."""

    kind = "elementwise"
    options: AdamOptions

    def fields(self, shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Field, ...]:
        return moments(shape, dtype)

    def update(
        self,
        weight: torch.Tensor,
        gradient: torch.Tensor,
        state: dict[str, torch.Tensor],
        step: int,
        lr: float,
    ) -> None:
        direction = uncorrected_direction(gradient, state, self.options)
        apply_corrected(weight, direction, step, lr, self.options)


def uncorrected_direction(
    gradient: torch.Tensor, state: dict[str, torch.Tensor], options: AdamOptions
) -> torch.Tensor:
    """Moves the moments on; their quotient, without bias correction."""
    first, second = state["exp_avg"], state["exp_avg_sq"]
    first.mul_(options.beta1).add_(gradient, alpha=1 - options.beta1)
    second.mul_(options.beta2).addcmul_(gradient, gradient, value=1 - options.beta2)
    return first / second.sqrt().add_(options.eps)


def apply_corrected(
    weight: torch.Tensor, direction: torch.Tensor, step: int, lr: float, options: AdamOptions
) -> None:
    """The bias-corrected update, then the decay."""
    correction = sqrt(1 - options.beta2**step) / (1 - options.beta1**step)
    weight.add_(direction, alpha=-lr * correction)
    if options.weight_decay > 0:
        weight.mul_(1 - lr * options.weight_decay)
