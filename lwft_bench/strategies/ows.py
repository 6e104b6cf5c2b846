"""OWS: layers drawn with probabilities fixed before training (arXiv 2405.18380, first OwLore)."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field, PositiveInt

from lwft_bench.plugins.options import PluginOptions
from lwft_bench.plugins.registry import register
from lwft_bench.schema.errors import UserError
from lwft_bench.strategies.base import Context, Needs, Selection, Strategy
from lwft_bench.strategies.draws import draw_without_replacement, require_enough_units


class Ows(Strategy):
    """Every `period` steps `num_active` units, drawn by their scores, which stay as they are.

    With D_l the score of unit l before the first step, p_l = D_l / sum_k D_k; units are drawn by
    weight without replacement.
    """

    class Options(PluginOptions):
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
        self._scores: np.ndarray | None = None

    def _measured(self) -> np.ndarray:
        """The scores D, or a UserError if no probabilities can be made of them."""
        raise NotImplementedError

    def select(self, step: int) -> Selection:
        # In the first selection and not in `start`, which an interrupted run calls again.
        if self._scores is None:
            self._scores = self._measured()
        probabilities = self._scores / self._scores.sum()
        with np.errstate(divide="ignore"):
            log_probabilities = np.log(probabilities)
        return Selection(
            units=draw_without_replacement(
                self.context.rng, log_probabilities, self.options.num_active
            ),
            num_steps=self.options.period,
            probabilities=tuple(probabilities.tolist()),
            scores=tuple(self._scores.tolist()),
        )

    def state_dict(self) -> dict[str, Any]:
        return {"scores": self._scores}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._scores = state["scores"]


@register("ows-norm")
class OwsNorm(Ows):
    """OWS with weight norms as scores.

    The score of a unit is `measure("weight_norm")`: the mean, over its weight matrices (parameters
    with two dimensions), of the Frobenius norm.

    OWS's own score is that of `ows-outlier`. Its code has a mode for weight norms too, but not the
    norms or how they were taken: the definition above is an inference.
    """

    def _measured(self) -> np.ndarray:
        norms = self.context.measure("weight_norm")
        if not (np.isfinite(norms).all() and norms.any()):
            raise UserError(
                f"The weight norms of the units are {norms.tolist()}: "
                "no probabilities can be made of them.",
                hint="Check the model's weights, or use another strategy.",
            )
        return norms


@register("ows-outlier")
class OwsOutlier(Ows):
    """OWS by its own score: how many of a unit's weights are outliers.

    The score of a unit is `measure("outlier_share")`: the percentage of entries of A, over all linear
    maps of the unit together, that exceed tau times their mean, with A_ij = |W_ij| ||X_j|| and X_j the
    inputs over calibration data (Wanda's measure).

    A unit without outliers is drawn only when all that have some are. Where no unit has any the run is
    refused: all probabilities alike would be LISA under another name.
    """

    class Options(Ows.Options):
        tau: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 13.0
        """An outlier exceeds the mean so many times, M in OWL."""
        calibration_batches: PositiveInt = 8
        """Batches of training data that the inputs are measured on."""

    options: Options

    def _measured(self) -> np.ndarray:
        tau = self.options.tau
        shares = self.context.measure(
            "outlier_share", tau=tau, batches=self.options.calibration_batches
        )
        if not np.isfinite(shares).all():
            raise UserError(
                f"The units' percentages of outliers are {shares.tolist()}: the model's weights or "
                "activations are not finite.",
                hint="Check the model's weights, or use another strategy.",
            )
        if not shares.any():
            raise UserError(
                f"No weight of this model is an outlier: |W| |X| is nowhere over {tau:g} times its "
                "mean, so there is nothing to draw layers by.",
                hint=f"Set strategy.tau below {tau:g}, or use lisa, which draws all layers alike.",
            )
        return shares
