"""AdaGradSelect: blocks by cumulative gradient norm or by how often they trained (arXiv 2512.15764)."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from lwft_bench.plugins.options import PluginOptions
from lwft_bench.plugins.registry import register
from lwft_bench.strategies.base import (
    Context,
    Needs,
    Selection,
    Strategy,
    Window,
)
from lwft_bench.strategies.draws import draw_without_replacement


@register("adagradselect")
class AdaGradSelect(Strategy):
    """In the first epoch an epsilon-greedy choice, afterwards draws by past use.

    In the first epoch, with probability epsilon_t = epsilon_0 exp(-lambda t) (t: the step), the k % of
    units with the largest cumulative gradient norm sum_s |g_s| train; otherwise, and always in later
    epochs, p is drawn from Dirichlet(f + delta), f_l the number of selections unit l was in, and k % of
    the units are drawn by p without replacement. A choice by norms that have not been seen yet (the
    first one) is a draw.

    Blocks are the units: decoder layers, unless the method counts embedding and head among them. The
    paper has embedding and final norm as blocks.

    Recorded scores are the cumulative norms, recorded probabilities the p drawn.
    """

    class Options(PluginOptions):
        share: Annotated[float, Field(gt=0, le=1)] = 0.2
        """Share of the units that train, k %; at least one does."""
        period: PositiveInt = 1
        """Steps between two selections."""
        epsilon: Annotated[float, Field(ge=0, le=1)] = 1.0
        """Probability of the choice by norm in the first step, epsilon_0."""
        decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.01
        """Decay of epsilon per step, lambda."""
        delta: Annotated[float, Field(ge=1e-6, allow_inf_nan=False)] = 1.0
        """What is added to the counts for the Dirichlet distribution, delta."""

    options: Options

    @property
    def needs(self) -> Needs:
        # For the whole run, though only the first epoch goes by them: needs do not change.
        return Needs(gradients="all")

    def start(self, context: Context) -> None:
        super().start(context)
        num_units = len(context.units)
        self._num_active = max(1, round(self.options.share * num_units))
        self._root_sizes = np.sqrt([unit.num_parameters for unit in context.units])
        self._norms = np.zeros(num_units)
        self._counts = np.zeros(num_units, dtype=np.int64)

    def select(self, step: int) -> Selection:
        # Drawn in any case, so that the stream does not depend on what was observed.
        explores = self.context.rng.random() < self._epsilon(step) and self._norms.any()
        log_probabilities = self._dirichlet()
        if explores:
            largest = np.argsort(-self._norms, kind="stable")[: self._num_active]
            units = tuple(sorted(largest.tolist()))
        else:
            units = draw_without_replacement(self.context.rng, log_probabilities, self._num_active)
        self._counts[list(units)] += 1
        return Selection(
            units=units,
            num_steps=self.options.period,
            probabilities=None if explores else tuple(np.exp(log_probabilities).tolist()),
            scores=tuple(self._norms.tolist()),
        )

    def observe(self, window: Window) -> None:
        if window.first_step < self.context.steps_per_epoch:
            finite = np.where(np.isfinite(window.grad_rms), window.grad_rms, 0)
            with np.errstate(over="ignore"):
                norms = self._norms + finite.sum(axis=0) * self._root_sizes
            self._norms = np.minimum(norms, np.finfo(np.float64).max)

    def _epsilon(self, step: int) -> float:
        if step >= self.context.steps_per_epoch:
            return 0.0
        return self.options.epsilon * float(np.exp(-self.options.decay * step))

    def _dirichlet(self) -> NDArray[np.float64]:
        """Logarithms of one draw from Dirichlet(f + delta), which for a small delta may underflow.

        As shares of gamma variates, since G(a) has the distribution of G(a + 1) U^(1/a).
        """
        concentration = self._counts + self.options.delta
        rng = self.context.rng
        log_uniform = np.log1p(-rng.random(len(concentration)))
        log_gamma = np.log(rng.standard_gamma(concentration + 1)) + log_uniform / concentration
        log_shares: NDArray[np.float64] = log_gamma - np.logaddexp.reduce(log_gamma)
        return log_shares

    def state_dict(self) -> dict[str, Any]:
        return {"norms": self._norms.copy(), "counts": self._counts.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._norms = np.array(state["norms"], dtype=np.float64)
        self._counts = np.array(state["counts"], dtype=np.int64)
