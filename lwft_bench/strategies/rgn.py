"""GRASS's draw by the relative gradient norm (arXiv 2210.11466) in place of the gradient norm."""

from __future__ import annotations

from typing import Any

import numpy as np

from lwft_bench.plugins.registry import register
from lwft_bench.schema.errors import UserError
from lwft_bench.strategies.base import Context, Needs, Selection
from lwft_bench.strategies.gradient_norms import Floats
from lwft_bench.strategies.grass import Grass


@register("rgn")
class RelativeGradientNorm(Grass):
    """`grass`, by how large gradients are beside the weights they would move.

    The score of unit l is m_l / r_l: its mean gradient norm over the root mean square of its weights,
    `measure("weight_rms")`. Both are over all N_p of its parameters, so that of one gradient the
    score is |g_l| / |theta_l|. r is measured before training and again at each refresh of m; with
    alpha = 0 neither changes and the draw is static.
    """

    class Options(Grass.Options):
        pass

    options: Options

    @property
    def needs(self) -> Needs:
        return Needs(probing_steps=self.options.probing_steps, measure=True)

    def start(self, context: Context) -> None:
        super().start(context)
        self._measure_weights()

    def select(self, step: int) -> Selection:
        if self.mgn.refreshed_at > self._weights_measured_at and self.options.alpha > 0:
            self._measure_weights()
        return super().select(step)

    def _scores(self) -> Floats:
        return self.mgn.values / self._weight_rms

    def _measure_weights(self) -> None:
        weight_rms: Floats = np.asarray(self.context.measure("weight_rms"), dtype=np.float64)
        if not (np.isfinite(weight_rms).all() and (weight_rms > 0).all()):
            raise UserError(
                f"The root mean squares of the units' weights are {weight_rms.tolist()}: "
                "gradients cannot be taken relative to them.",
                hint="Use the strategy grass, which looks at gradients alone.",
            )
        self._weight_rms = weight_rms
        self._weights_measured_at = self.mgn.refreshed_at

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {
            "weight_rms": self._weight_rms.copy(),
            "weights_measured_at": self._weights_measured_at,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        # What `start` measured after an interruption is of weights that have moved.
        self._weight_rms = np.array(state["weight_rms"], dtype=np.float64)
        self._weights_measured_at = int(state["weights_measured_at"])
