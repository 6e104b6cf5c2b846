"""AdamW (Loshchilov & Hutter, 2019, algorithm 2) on slices of flat state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, NonNegativeFloat

from lwft_bench.config.models import Config
from lwft_bench.registry import register_optimizer

if TYPE_CHECKING:
    import torch

Beta = Annotated[float, Field(ge=0, lt=1)]


@register_optimizer("adamw")
class AdamW:
    """Elementwise: the update of an element needs that element's gradient and state only."""

    kind: Literal["elementwise"] = "elementwise"
    state_names = ("exp_avg", "exp_avg_sq")

    class Options(Config):
        """Defaults are those of torch.optim.AdamW, but for the weight decay."""

        beta1: Beta = 0.9
        beta2: Beta = 0.999
        eps: Annotated[float, Field(gt=0)] = 1e-8
        weight_decay: NonNegativeFloat = 0.0
        """Decoupled, for every trained parameter, norms and biases included."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def update(
        self,
        weight: torch.Tensor,
        gradient: torch.Tensor,
        state: dict[str, torch.Tensor],
        step: int,
        lr: float,
    ) -> None:
        """One step in place on 1-D slices of equal length and dtype.

        The kernel of torch.optim.AdamW(fused=True): the same bits for a slice as for the whole, if
        slices begin at multiples of `layout.ALIGNMENT`. `step` counts this parameter's updates from
        1; it stays on the host until here, so that no kernel waits for it.
        """
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
