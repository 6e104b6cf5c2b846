"""APOLLO: gradients scaled by what AdamW would do to a random projection of them.

Written from the paper (Zhu et al., MLSys 2025, arXiv 2412.05270) and not from its code, whose licence
forbids commercial use.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field as Limits
from pydantic import PositiveFloat, PositiveInt

from lwft_bench.optimizers.adamw import AdamOptions, AdamW
from lwft_bench.optimizers.base import Field, Optimizer, moments
from lwft_bench.plugins.options import PluginOptions
from lwft_bench.plugins.registry import register_optimizer

if TYPE_CHECKING:
    import torch

TINY = 1e-30
"""Keeps a channel without gradient from being divided by zero; below any norm that matters."""


@register_optimizer("apollo")
class Apollo(Optimizer):
    """G diag(s): s_j is how much AdamW changes the norm of channel j of R = P G.

    G is taken with at most as many rows as columns. P is random, rank by rows, with entries of
    variance 1 / rank. Weight matrices of layers are treated so, with both dimensions above the rank;
    everything else gets AdamW. APOLLO-Mini: rank 1, `scaling: tensor`, scale 128.
    """

    kind = "opaque"

    class Options(AdamOptions):
        rank: PositiveInt
        """r: rows of the projection."""
        scaling: Literal["channel", "tensor"] = "channel"
        """One s for each column, or one for the whole matrix."""
        scale: PositiveFloat = 1.0
        """The update is multiplied by its square root."""
        update_proj_gap: PositiveInt = 200
        """Updates of a parameter between two draws of its projection, T."""
        growth_limit: Annotated[float, Limits(gt=1)] = 1.01
        """The norm of the update grows by at most this factor from one step to the next, gamma."""

    options: Options

    def __init__(self, options: PluginOptions, seed: int = 0) -> None:
        super().__init__(options)
        self._seed = seed

    def for_parameter(self, shape: tuple[int, ...], *, in_layer: bool, seed: int) -> Optimizer:
        if in_layer and len(shape) == 2 and min(shape) > self.options.rank:
            return Apollo(self.options, seed)
        kept = {name: getattr(self.options, name) for name in AdamOptions.model_fields}
        return AdamW(AdamW.Options(**kept))

    def fields(self, shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Field, ...]:
        import torch  # here, so that suites are validated without it

        projected = (self.options.rank, max(shape))
        return (
            *moments(projected, dtype),
            Field("update_norm", torch.float32, (1,)),
        )

    def update(
        self,
        weight: torch.Tensor,
        gradient: torch.Tensor,
        state: dict[str, torch.Tensor],
        step: int,
        lr: float,
    ) -> None:
        import torch

        from lwft_bench.optimizers.random_bits import mix

        options = self.options
        if gradient.shape[0] > gradient.shape[1]:
            weight, gradient = weight.T, gradient.T
        key = mix(self._seed, (step - 1) // options.update_proj_gap, 0)
        projection = _normal(options.rank, gradient.shape[0], key, gradient.device)
        projected = (projection / sqrt(options.rank)).to(gradient.dtype) @ gradient
        adapted = self._adam(projected, state, step)
        channels = 0 if options.scaling == "channel" else None
        factors = _norm(adapted, channels) / _norm(projected, channels).clamp(min=TINY)
        update = gradient * (factors * sqrt(options.scale)).to(gradient.dtype)
        norm, before = _norm(update, None), state["update_norm"]
        limit = (options.growth_limit * before / norm.clamp(min=TINY)).clamp(max=1)
        limit = torch.where(before > 0, limit, torch.ones_like(limit))
        before.copy_(norm * limit)
        if options.weight_decay > 0:
            weight.mul_(1 - lr * options.weight_decay)
        weight.sub_(update * (lr * limit).to(update.dtype))

    def _adam(
        self, gradient: torch.Tensor, state: dict[str, torch.Tensor], step: int
    ) -> torch.Tensor:
        """Moves the moments on; Adam's direction."""
        first, second = state["exp_avg"], state["exp_avg_sq"]
        beta1, beta2 = self.options.beta1, self.options.beta2
        first.mul_(beta1).add_(gradient, alpha=1 - beta1)
        second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        root = (second / (1 - beta2**step)).sqrt_().add_(self.options.eps)
        return first / (1 - beta1**step) / root


def _norm(values: torch.Tensor, dim: int | None) -> torch.Tensor:
    """In float32, along `dim`, or of the whole."""
    import torch

    return torch.linalg.vector_norm(values, dim=dim, dtype=torch.float32)


def _normal(rows: int, columns: int, key: int, device: torch.device) -> torch.Tensor:
    """float32 [rows, columns], standard normal (Box and Muller), a function of key and place.

    Made from 16 random bits twice, so that nothing lies beyond 4.9.
    """
    from lwft_bench.optimizers.random_bits import mix, random_bits

    count = rows * columns
    radius, angle = (
        (random_bits(count, mix(key, 0, part), 0, device) + 0.5) / 65536 for part in (0, 1)
    )
    return ((-2 * radius.log()).sqrt() * (2 * pi * angle).cos()).view(rows, columns)
