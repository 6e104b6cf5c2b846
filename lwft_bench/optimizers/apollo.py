"""APOLLO: gradients scaled by what AdamW would do to a random projection of them.

Written from the paper (Zhu et al., MLSys 2025, arXiv 2412.05270) and not from its code, whose licence
forbids commercial use. What the paper leaves open is as the published package (apollo-torch 1.0.3) does
it, found out by running it: a test compares the two step by step.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import pi, sqrt
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field as Limits
from pydantic import PositiveFloat, PositiveInt

from lwft_bench.optimizers.adamw import AdamOptions
from lwft_bench.optimizers.base import Field, Optimizer, moments
from lwft_bench.optimizers.uncorrected import (
    UncorrectedAdamW,
    apply_corrected,
    uncorrected_direction,
)
from lwft_bench.plugins.options import PluginOptions
from lwft_bench.plugins.registry import register_optimizer

if TYPE_CHECKING:
    import torch

NORM_EPSILON = 1e-8
"""Added to norms that are divided by."""


@register_optimizer("apollo")
class Apollo(Optimizer):
    """G diag(s): s_j is how much AdamW changes the norm of channel j of R = P G.

    G is taken with fewer rows than columns, or turned: a square one is turned. P is random, rank by
    rows, with entries of variance 1 / rank. Weight matrices of layers are treated so, with both
    dimensions above the rank; everything else gets AdamW. APOLLO-Mini: rank 1, `scaling: tensor`,
    scale 128.
    """

    kind = "opaque"

    class Options(AdamOptions):
        eps: PositiveFloat = 1e-6
        """Added before the bias correction, as apollo-torch does: at step t it weighs as much as
        eps / sqrt(1 - beta2^t) does in torch's AdamW. So too where there is no projection."""
        rank: PositiveInt
        """r: rows of the projection."""
        scaling: Literal["channel", "tensor"] = "channel"
        """One s for each column, or one for the whole matrix."""
        scale: PositiveFloat = 1.0
        """The update is multiplied by its square root."""
        update_proj_gap: PositiveInt = 200
        """Updates of a parameter between two draws of its projection, T."""
        growth_limit: Annotated[float, Limits(gt=1)] = 1.01
        """The norm of the update, before the bias correction, grows by at most this factor from one step
        to the next, gamma."""

    options: Options

    def __init__(self, options: PluginOptions, seed: int = 0) -> None:
        super().__init__(options)
        self._seed = seed

    def for_parameter(self, shape: tuple[int, ...], *, in_layer: bool, seed: int) -> Optimizer:
        if in_layer and len(shape) == 2 and min(shape) > self.options.rank:
            return Apollo(self.options, seed)
        return UncorrectedAdamW(self.options)

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
        from lwft_bench.optimizers.random_bits import mix

        options = self.options
        if turned(gradient.shape):
            weight, gradient = weight.T, gradient.T
        key = mix(self._seed, (step - 1) // options.update_proj_gap, 0)
        projection = normal(options.rank, gradient.shape[0], key, gradient.device)
        projected = (projection / sqrt(options.rank)).to(gradient.dtype) @ gradient
        direction = uncorrected_direction(projected, state, options)
        channels = 0 if options.scaling == "channel" else None
        factors = _norm(direction, channels) / (_norm(projected, channels) + NORM_EPSILON)
        update = gradient * (factors * sqrt(options.scale)).to(gradient.dtype)
        growth = limit(_norm(update, None), state["update_norm"], options.growth_limit, step)
        update.mul_(growth.to(update.dtype))
        apply_corrected(weight, update, step, lr, options)


def turned(shape: Sequence[int]) -> bool:
    """Whether a matrix is projected from the right: its channels are its rows."""
    return shape[0] >= shape[1]


def limit(norm: torch.Tensor, before: torch.Tensor, most: float, step: int) -> torch.Tensor:
    """What an update of this norm is multiplied by, so that it is at most `most` times the one before.

    `before` becomes the norm that it has then. The first update is not limited.
    """
    growth = norm.new_ones(1) if step == 1 else norm / (before + NORM_EPSILON)
    factor = most / growth.clamp(min=most)
    before.copy_(norm * factor)
    return factor


def _norm(values: torch.Tensor, dim: int | None) -> torch.Tensor:
    """In float32, along `dim`, or of the whole."""
    import torch

    return torch.linalg.vector_norm(values, dim=dim, dtype=torch.float32)


def normal(rows: int, columns: int, key: int, device: torch.device) -> torch.Tensor:
    """float32 [rows, columns], standard normal (Box and Muller), a function of key and place.

    Made from 16 random bits twice, so that nothing lies beyond 4.9.
    """
    from lwft_bench.optimizers.random_bits import mix, random_bits

    count = rows * columns
    radius, angle = (
        (random_bits(count, mix(key, 0, part), 0, device) + 0.5) / 65536 for part in (0, 1)
    )
    return ((-2 * radius.log()).sqrt() * (2 * pi * angle).cos()).view(rows, columns)
