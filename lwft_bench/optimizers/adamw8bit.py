"""AdamW with moments of eight bits (Dettmers et al., 2022, arXiv 2110.02861), by bitsandbytes."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from pydantic import PositiveInt

from lwft_bench.optimizers.adamw import AdamOptions
from lwft_bench.optimizers.base import Field, Optimizer, moments
from lwft_bench.plugins.extras import import_extra
from lwft_bench.plugins.options import PluginOptions
from lwft_bench.plugins.registry import register_optimizer

if TYPE_CHECKING:
    import torch

BLOCK = 256
"""Elements that share one scale: bitsandbytes' block size for optimizers."""


class _Options(AdamOptions):
    min_8bit_size: PositiveInt = 4096
    """Parameters of fewer elements keep float32 moments."""


@register_optimizer("adamw8bit")
class AdamW8bit(Optimizer):
    """The kernel of bitsandbytes.optim.AdamW8bit: each block of a moment has a scale of its own.

    On the CPU, as bitsandbytes has it, an update makes float32 copies of what it is given.
    """

    kind = "blockwise"
    alignment = BLOCK
    state_dtype = "uint8"

    class Options(_Options):
        """See AdamOptions."""

    options: Options

    def __init__(self, options: PluginOptions) -> None:
        super().__init__(options)
        self._functional = import_extra("bitsandbytes.functional", "optimizers")
        self._maps: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = {}
        self._small = _AdamWOfSmall(self.options, self._functional)

    def for_parameter(self, shape: tuple[int, ...], *, in_layer: bool, seed: int) -> Optimizer:
        return self._small if prod(shape) < self.options.min_8bit_size else self

    def fields(self, shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Field, ...]:
        """Of eight bits and a float32 scale a block, whatever the precision policy."""
        import torch  # here, so that suites are validated without it

        (size,) = shape
        blocks = (-(-size // BLOCK),)
        return (
            *moments(shape, torch.uint8),
            Field("exp_avg_scale", torch.float32, blocks),
            Field("exp_avg_sq_scale", torch.float32, blocks),
        )

    def update(
        self,
        weight: torch.Tensor,
        gradient: torch.Tensor,
        state: dict[str, torch.Tensor],
        step: int,
        lr: float,
    ) -> None:
        signed, unsigned = self._maps_on(weight.device)
        self._functional.optimizer_update_8bit_blockwise(
            "adam",
            gradient,
            weight,
            state["exp_avg"],
            state["exp_avg_sq"],
            self.options.beta1,
            self.options.beta2,
            0.0,  # beta3 and alpha are other optimizers'
            0.0,
            self.options.eps,
            step,
            lr,
            signed,
            unsigned,
            state["exp_avg_scale"],
            state["exp_avg_sq_scale"],
            self.options.weight_decay,
        )

    def _maps_on(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """What the 256 codes stand for, of numbers with a sign and of numbers without."""
        import torch
        from torch._subclasses.fake_tensor import unset_fake_temporarily

        if device not in self._maps:
            with unset_fake_temporarily():  # the map is worked out from values, in a dry run too
                values = [
                    self._functional.create_dynamic_map(signed=signed).tolist()
                    for signed in (True, False)
                ]
            signed, unsigned = (torch.tensor(codes, device=device) for codes in values)
            self._maps[device] = signed, unsigned
        return self._maps[device]


class _AdamWOfSmall(Optimizer):
    """What bitsandbytes does with parameters too small for eight bits: float32 moments."""

    kind = "elementwise"
    options: _Options

    def __init__(self, options: _Options, functional: Any) -> None:
        super().__init__(options)
        self._functional = functional

    def fields(self, shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Field, ...]:
        import torch

        return moments(shape, torch.float32)

    def update(
        self,
        weight: torch.Tensor,
        gradient: torch.Tensor,
        state: dict[str, torch.Tensor],
        step: int,
        lr: float,
    ) -> None:
        self._functional.optimizer_update_32bit(
            "adam",
            gradient,
            weight,
            state["exp_avg"],
            self.options.beta1,
            self.options.eps,
            step,
            lr,
            state["exp_avg_sq"],
            self.options.beta2,
            weight_decay=self.options.weight_decay,
        )
