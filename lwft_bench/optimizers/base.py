"""What an optimizer is to the store that keeps its state. Light to import."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, ClassVar, Literal

from lwft_bench.plugins.options import PluginOptions

if TYPE_CHECKING:
    import torch

ALIGNMENT = 64
"""Elements. torch's fused CPU AdamW vectorises from the start of what it is given: it gives the same
bits for a tensor and for its slices only where these begin at multiples of 64 elements."""


PRECISIONS_OF_ELEMENTS = ("bf16-stochastic", "bf16-master")
"""Precision policies that work on chunks of elements: for elementwise optimizers only."""


@dataclass(frozen=True, slots=True)
class Field:
    """One state tensor of a slice. All zero bytes must be what it is before the first update."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


def moments(shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Field, Field]:
    """Adam's two, of the shape that they average."""
    return Field("exp_avg", dtype, shape), Field("exp_avg_sq", dtype, shape)


class Optimizer:
    """An update rule. Subclass it, give it `Options`, register it by name.

    kind: how parameters may be cut.

    - elementwise: anywhere at multiples of ALIGNMENT: an element's update needs its own gradient and
      state only. `fields` have one entry an element.
    - blockwise: at multiples of `alignment` elements, whose state belongs together.
    - opaque: not at all. `update` gets the parameter in its own shape.

    A rule that treats parameters differently (`for_parameter`) is of the kind of the most demanding.
    """

    class Options(PluginOptions):
        """No options."""

    name: ClassVar[str] = ""
    kind: ClassVar[Literal["elementwise", "blockwise", "opaque"]]
    alignment: ClassVar[int] = ALIGNMENT
    """Elements; a multiple of ALIGNMENT."""
    state_dtype: ClassVar[str | None] = None
    """Of moments, where it is not the precision policy's."""
    stateless: ClassVar[bool] = False
    """Whether it has no fields for any parameter."""
    leaves: ClassVar[bool] = False
    """Whether `leave` is there: a last update when a unit's state is about to be cleared."""

    def __init__(self, options: PluginOptions | None = None) -> None:
        self.options = self.Options() if options is None else options

    def for_parameter(self, shape: tuple[int, ...], *, in_layer: bool, seed: int) -> Optimizer:
        """The rule for a parameter of that shape: the same for all, unless overridden.

        in_layer: whether it belongs to a decoder layer. seed: the parameter's own, for rules that
        draw at random.
        """
        return self

    def fields(self, shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Field, ...]:
        """The state of a slice of that shape ([n], or the parameter's if opaque).

        dtype: of moments, by the precision policy.
        """
        raise NotImplementedError

    def update(
        self,
        weight: torch.Tensor,
        gradient: torch.Tensor,
        state: dict[str, torch.Tensor],
        step: int,
        lr: float,
    ) -> None:
        """One step in place on a slice. `step` counts this parameter's updates from 1."""
        raise NotImplementedError

    def leave(
        self, weight: torch.Tensor, state: dict[str, torch.Tensor], step: int, lr: float
    ) -> None:
        """A last update in place, without a gradient, before the slice's state is cleared.

        Called only where `leaves` is set, after `step` updates, the last of them with rate `lr`.
        """
        raise NotImplementedError
