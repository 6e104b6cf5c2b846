"""AdamW (Loshchilov & Hutter, 2019, algorithm 2) on slices of flat state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field as Limits
from pydantic import NonNegativeFloat

from lwft_bench.optimizers.base import Field, Optimizer, moments
from lwft_bench.plugins.options import PluginOptions
from lwft_bench.plugins.registry import register_optimizer

if TYPE_CHECKING:
    import torch

Beta = Annotated[float, Limits(ge=0, lt=1)]


class AdamOptions(PluginOptions):
    """Defaults are those of torch.optim.AdamW, but for the weight decay."""

    beta1: Beta = 0.9
    beta2: Beta = 0.999
    eps: Annotated[float, Limits(gt=0)] = 1e-8
    weight_decay: NonNegativeFloat = 0.0
    """Decoupled, for every trained parameter, norms and biases included."""


@register_optimizer("adamw")
class AdamW(Optimizer):
    """The kernel of torch.optim.AdamW(fused=True): the same bits for a slice as for the whole."""

    kind = "elementwise"

    class Options(AdamOptions):
        """See AdamOptions."""

    options: Options

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
        """The step counter stays on the host until here, so that no kernel waits for it."""
        import torch  # here, so that suites are validated without it

        torch._fused_adamw_(
            [weight],
            [gradient],
            [state["exp_avg"]],
            [state["exp_avg_sq"]],
            [],
            [torch.full((), float(step), dtype=torch.float32, device=weight.device)],
            amsgrad=False,
            lr=lr,
            beta1=self.options.beta1,
            beta2=self.options.beta2,
            weight_decay=self.options.weight_decay,
            eps=self.options.eps,
            maximize=False,
        )
