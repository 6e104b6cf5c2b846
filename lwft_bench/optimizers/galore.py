"""GaLore: AdamW in a low-rank projection of the gradient (arXiv 2403.03507), by galore-torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import PositiveFloat, PositiveInt

from lwft_bench.optimizers.adamw import AdamOptions
from lwft_bench.optimizers.base import Field, Optimizer, moments
from lwft_bench.optimizers.uncorrected import (
    UncorrectedAdamW,
    apply_corrected,
    uncorrected_direction,
)
from lwft_bench.plugins.extras import import_extra
from lwft_bench.plugins.options import PluginOptions
from lwft_bench.plugins.registry import register_optimizer

if TYPE_CHECKING:
    import torch

Side = Literal["left", "right"]


class _Options(AdamOptions):
    eps: PositiveFloat = 1e-6
    """Added before the bias correction, as galore-torch does: at step t it weighs as much as
    eps / sqrt(1 - beta2^t) does in torch's AdamW."""
    rank: PositiveInt
    """r: columns of the projection."""
    update_proj_gap: PositiveInt = 200
    """Updates of a parameter between two singular value decompositions of its gradient, T."""
    scale: PositiveFloat = 0.25
    """The projected update is multiplied by it, alpha."""
    proj_type: Literal["std", "reverse_std", "left", "right", "full"] = "std"
    """Sides of the matrix that are projected: `std` the smaller, `reverse_std` the larger."""


@register_optimizer("galore")
class GaLore(Optimizer):
    """AdamW on P^T G (or G P^T), whose update P brings back; P has G's largest singular vectors.

    Weight matrices of layers are projected, with both dimensions above the rank; everything else
    gets AdamW. Moments are not turned when P changes. The decomposition takes float32 copies of the
    whole gradient and of its factors for as long as it lasts.
    """

    kind = "opaque"

    class Options(_Options):
        """See AdamOptions."""

    options: Options

    def __init__(self, options: PluginOptions) -> None:
        super().__init__(options)
        self._package = import_extra("galore_torch.galore_projector", "optimizers")

    def for_parameter(self, shape: tuple[int, ...], *, in_layer: bool, seed: int) -> Optimizer:
        if in_layer and len(shape) == 2 and min(shape) > self.options.rank:
            return self
        return UncorrectedAdamW(self.options)

    def fields(self, shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Field, ...]:
        rows, columns = shape
        sides = self._sides(rows, columns)
        rank = self.options.rank
        moment = (
            rank if "left" in sides else rows,
            rank if "right" in sides else columns,
        )
        projection = {"left": (rows, rank), "right": (rank, columns)}
        return (
            *moments(moment, dtype),
            *(Field(side, dtype, projection[side]) for side in sides),
        )

    def update(
        self,
        weight: torch.Tensor,
        gradient: torch.Tensor,
        state: dict[str, torch.Tensor],
        step: int,
        lr: float,
    ) -> None:
        sides = self._sides(*weight.shape)
        projector = self._package.GaLoreProjector(
            self.options.rank,
            update_proj_gap=self.options.update_proj_gap,
            scale=self.options.scale,
            proj_type=self.options.proj_type,
        )
        stored: Any = [state[side] for side in sides]
        projector.ortho_matrix = stored if len(sides) == 2 else stored[0]
        projected = projector.project(gradient, step - 1)
        if (step - 1) % self.options.update_proj_gap == 0:
            found = projector.ortho_matrix if len(sides) == 2 else [projector.ortho_matrix]
            for old, new in zip(stored, found, strict=True):
                old.copy_(new)
        direction = uncorrected_direction(projected, state, self.options)
        apply_corrected(weight, projector.project_back(direction), step, lr, self.options)

    def _sides(self, rows: int, columns: int) -> Sequence[Side]:
        """The sides of a matrix that are projected, by galore-torch's rule."""
        match self.options.proj_type:
            case "std":
                return ("right",) if rows >= columns else ("left",)
            case "reverse_std":
                return ("left",) if rows >= columns else ("right",)
            case "full":
                return ("left", "right")
            case side:
                return (side,)
