"""OWS's layerwise sampling with weight norms as scores (arXiv 2405.18380)."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import PositiveInt

from lwft_bench.errors import UserError
from lwft_bench.registry import register
from lwft_bench.strategies.base import Context, Needs, Selection, Strategy, StrategyOptions
from lwft_bench.strategies.draws import draw_without_replacement, require_enough_units


@register("ows-norm")
class OwsNorm(Strategy):
    """Every `period` steps `num_active` units, drawn with probabilities fixed before training.

    The score D_l of unit l is `measure("weight_norm")`: the mean, over the unit's weight matrices
    (its parameters with two dimensions), of the Frobenius norm, as they are before the first step.
    Then p_l = D_l / sum_k D_k, and the units are drawn by weight without replacement.

    OWS's own score counts outlying entries of |W| * |X| on calibration data. Its code has a mode for
    weight norms too, but not the norms or how they were taken: the definition above is an inference.
    """

    class Options(StrategyOptions):
        num_active: PositiveInt = 2
        """Units trained at once, gamma."""
        period: PositiveInt = 50
        """Steps between two draws, K (T_s in GRASS's terms)."""

    options: Options

    @property
    def needs(self) -> Needs:
        return Needs(measure=True)

    def start(self, context: Context) -> None:
        super().start(context)
        require_enough_units(self.options.num_active, len(context.units))
        self._norms = np.asarray(context.measure("weight_norm"), dtype=np.float64)
        if not (np.isfinite(self._norms).all() and self._norms.any()):
            raise UserError(
                f"The weight norms of the units are {self._norms.tolist()}: "
                "no probabilities can be made of them.",
                hint="Check the model's weights, or use another strategy.",
            )

    def select(self, step: int) -> Selection:
        probabilities = self._norms / self._norms.sum()
        with np.errstate(divide="ignore"):
            log_probabilities = np.log(probabilities)
        return Selection(
            units=draw_without_replacement(
                self.context.rng, log_probabilities, self.options.num_active
            ),
            num_steps=self.options.period,
            probabilities=tuple(probabilities.tolist()),
            scores=tuple(self._norms.tolist()),
        )

    def state_dict(self) -> dict[str, Any]:
        return {"norms": self._norms.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        # What `start` measured after an interruption are the norms of weights that have moved.
        self._norms = np.array(state["norms"], dtype=np.float64)
