"""AdamW that takes, before its state is cleared, the steps that its momentum still holds (MISA)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from lwft_bench.memory.chunks import CHUNK_ELEMENTS
from lwft_bench.optimizers.adamw import AdamW
from lwft_bench.plugins.registry import register_optimizer

if TYPE_CHECKING:
    import torch


@register_optimizer("adamw-closing")
class ClosingAdamW(AdamW):
    """AdamW; on leaving w <- w - lr beta1 / (1 - beta1) m / (sqrt(v) + eps).

    The sum of all steps to come, were gradients zero from now on and v as it is (arXiv 2511.00056,
    Algorithm 1, line 16, which has sqrt(v + eps)). For a constant gradient and beta1 = 0.9 that is nine
    steps at once. It is made only where the state policy clears state.
    """

    leaves = True

    class Options(AdamW.Options):
        """AdamW's, and how the closing step takes its moments."""

        moments: Literal["corrected", "uncorrected"] = "corrected"
        """Whether m and v of the last update are corrected for their bias, as in the updates before.
        The paper does not say."""

    options: Options

    def leave(
        self, weight: torch.Tensor, state: dict[str, torch.Tensor], step: int, lr: float
    ) -> None:
        beta1, beta2 = self.options.beta1, self.options.beta2
        corrected = self.options.moments == "corrected"
        first, second = (1 - beta1**step, 1 - beta2**step) if corrected else (1.0, 1.0)
        rate = lr * beta1 / (1 - beta1) / first
        for start in range(0, weight.numel(), CHUNK_ELEMENTS):
            part = slice(start, start + CHUNK_ELEMENTS)
            root = state["exp_avg_sq"][part].sqrt().div_(second**0.5).add_(self.options.eps)
            weight[part].addcdiv_(state["exp_avg"][part].to(weight.dtype), root, value=-rate)
