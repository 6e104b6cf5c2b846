"""GRASS: layers drawn by their mean gradient norm (arXiv 2604.07808).

Units are measured in a probing phase, drawn by a softmax over what was measured, and, in `grass`,
measured again while they train. `grass-static` keeps the probabilities that probing gave.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from lwft_bench.plugins.registry import register
from lwft_bench.schema.errors import UserError
from lwft_bench.strategies.base import Context, Selection
from lwft_bench.strategies.draws import draw_with_replacement, draw_without_replacement
from lwft_bench.strategies.gradient_norms import (
    Floats,
    GradientNormStrategy,
    ProbingOptions,
    RefreshOptions,
)

Normalise = Literal["none", "mean", "max", "sum", "zscore"]


@register("grass-static")
class GrassStatic(GradientNormStrategy):
    """Probabilities from probing only.

    Every T_s steps gamma units are drawn by weight, without replacement, with
    p_l = exp(m_l/tau) / sum_i exp(m_i/tau), m_l the mean gradient norm (`MeanGradientNorms`).
    Recorded scores are the m_l before normalisation. Where all m are equal the draw is uniform.
    """

    class Options(ProbingOptions):
        temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
        """Softmax temperature, tau: towards 0 the largest always train, towards infinity all alike."""
        normalise: Normalise = "mean"
        """What m is divided by before the softmax: `none` (the formula as it stands), `mean`, `max`
        or `sum` over units; `zscore` subtracts the mean and divides by the population standard
        deviation. Raw m is of the order of 1e-5 for a model of billions of parameters, so that with
        a tau that is not as small the softmax is uniform, and it changes with the scale of the loss.
        `mean` is free of scale, does not depend on the number of units (as `sum` does) or on one
        outlier (as `max` does), and leaves equal units equal (`zscore` blows up their noise)."""
        floor: Annotated[float, Field(ge=0, lt=1)] = 0.0
        """Least probability of a unit: p becomes (1 - N floor) p + floor for N units."""
        replacement: bool = False
        """Draw with replacement: gamma independent draws by p, of which equal ones collapse, so that
        at most gamma units train, and fewer the more unequal p is."""

    options: Options

    def start(self, context: Context) -> None:
        super().start(context)
        num_units = len(context.units)
        if self.options.floor * num_units > 1:
            raise UserError(
                f"strategy.floor is {self.options.floor}, which {num_units} units cannot all have.",
                hint=f"Set strategy.floor to at most 1/{num_units}.",
            )

    def select(self, step: int) -> Selection:
        scores = self._scores()
        assert not np.isnan(scores).any(), "select was called before probing was observed"
        log_probabilities = self._log_probabilities(scores)
        draw = draw_with_replacement if self.options.replacement else draw_without_replacement
        return Selection(
            units=draw(self.context.rng, log_probabilities, self.options.num_active),
            num_steps=self.options.period,
            probabilities=tuple(np.exp(log_probabilities).tolist()),
            scores=tuple(scores.tolist()),
            ages=self.mgn.ages(step),
        )

    def _scores(self) -> Floats:
        """One a unit, not negative: what the softmax is taken of."""
        return self.mgn.values

    def _log_probabilities(self, scores: Floats) -> Floats:
        normalised = _normalised(scores, self.options.normalise)
        with np.errstate(over="ignore"):  # a gap beyond float64 is -inf: probability zero
            logits = (normalised - normalised.max()) / self.options.temperature
        log_softmax: Floats = logits - np.log(np.exp(logits).sum())
        if self.options.floor == 0:
            return log_softmax
        share = max(0.0, 1 - len(scores) * self.options.floor)
        with np.errstate(divide="ignore"):  # share 0: all probability is in the floors
            above_floor = np.log(share) + log_softmax
        floored: Floats = np.logaddexp(above_floor, np.log(self.options.floor))
        return floored


@register("grass")
class Grass(GrassStatic):
    """`grass-static`, with m brought up to date while training.

    Every T_u steps the m of units that trained meanwhile becomes a moving average of what was seen
    (`MeanGradientNorms`). With alpha = 0 this is `grass-static`, with alpha = 1 m_l is the mean over
    the latest window.
    """

    class Options(RefreshOptions, GrassStatic.Options):
        pass

    options: Options


def _normalised(scores: Floats, how: Normalise) -> Floats:
    if how == "none" or not scores.any():
        return scores
    relative: Floats = scores / scores.max()  # nothing below overflows
    if how == "max":
        return relative
    if how == "mean":
        return relative / float(relative.mean())
    if how == "sum":
        return relative / float(relative.sum())
    centred: Floats = relative - relative.mean()
    spread = centred.std()
    return centred / spread if spread > 0 else centred
