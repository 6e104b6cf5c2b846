"""GRASS: layers drawn by their mean gradient norm (arXiv 2604.07808).

Units are measured in a probing phase, drawn by a softmax over what was measured, and, in `grass`,
measured again while they train. `grass-static` keeps the probabilities that probing gave.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator

from lwft_bench.errors import UserError
from lwft_bench.registry import register
from lwft_bench.strategies.base import Context, Needs, Selection, Strategy, StrategyOptions, Window
from lwft_bench.strategies.draws import draw_without_replacement, require_enough_units

Floats = NDArray[np.float64]
Normalise = Literal["none", "mean", "max", "sum", "zscore"]


@register("grass-static")
class GrassStatic(Strategy):
    """Probabilities from probing only.

    The mean gradient norm (MGN) of unit l is the mean, over the T_p probing steps, of the root mean
    square of its gradient: m_l = (1/T_p) sum_t sqrt(|g_t^(l)|^2 / N_p^(l)). Every T_s steps gamma
    units are drawn by weight, without replacement, with p_l = exp(m_l/tau) / sum_i exp(m_i/tau).
    Recorded scores are the m_l before normalisation.

    A reading that is not finite (NaN: the unit had no gradient in that step; inf: it overflowed) is
    left out of the mean. A unit with no finite reading in the whole of probing is given the mean of
    the others' m; where no unit has one, or all are zero, the draw is uniform.
    """

    class Options(StrategyOptions):
        num_active: PositiveInt = 2
        """Units trained at once, gamma."""
        probing_steps: PositiveInt = 10
        """Steps before training in which every unit's gradient is measured, T_p."""
        period: PositiveInt = 20
        """Steps between two draws, T_s."""
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

    options: Options

    @property
    def needs(self) -> Needs:
        return Needs(probing_steps=self.options.probing_steps)

    def start(self, context: Context) -> None:
        super().start(context)
        num_units = len(context.units)
        require_enough_units(self.options.num_active, num_units)
        if self.options.floor * num_units > 1:
            raise UserError(
                f"strategy.floor is {self.options.floor}, which {num_units} units cannot all have.",
                hint=f"Set strategy.floor to at most 1/{num_units}.",
            )
        self._mgn: Floats = np.full(num_units, np.nan)

    def observe(self, window: Window) -> None:
        if not window.probing:
            return
        sums, counts = _finite_sums(window.grad_rms)
        measured = counts > 0
        self._mgn[measured] = sums[measured] / counts[measured]
        self._mgn[~measured] = self._mgn[measured].mean() if measured.any() else 0.0

    def select(self, step: int) -> Selection:
        assert not np.isnan(self._mgn).any(), "select was called before probing was observed"
        log_probabilities = self._log_probabilities()
        probabilities = np.exp(log_probabilities)
        return Selection(
            units=draw_without_replacement(
                self.context.rng, log_probabilities, self.options.num_active
            ),
            num_steps=self.options.period,
            probabilities=tuple(probabilities.tolist()),
            scores=tuple(self._mgn.tolist()),
        )

    def _log_probabilities(self) -> Floats:
        scores = _normalised(self._mgn, self.options.normalise)
        with np.errstate(over="ignore"):  # a gap beyond float64 is -inf: probability zero
            logits = (scores - scores.max()) / self.options.temperature
        log_softmax: Floats = logits - np.log(np.exp(logits).sum())
        if self.options.floor == 0:
            return log_softmax
        share = max(0.0, 1 - len(scores) * self.options.floor)
        with np.errstate(divide="ignore"):  # share 0: all probability is in the floors
            above_floor = np.log(share) + log_softmax
        floored: Floats = np.logaddexp(above_floor, np.log(self.options.floor))
        return floored

    def state_dict(self) -> dict[str, Any]:
        return {"mgn": self._mgn.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._mgn = np.array(state["mgn"], dtype=np.float64)


@register("grass")
class Grass(GrassStatic):
    """`grass-static`, with m brought up to date while training.

    At the end of the first period by which at least T_u steps have passed since the last refresh,
    each unit that trained meanwhile gets m_l <- alpha w_l + (1 - alpha) m_l, where w_l is the mean of
    its gradient's root mean square over those steps of the window in which it was active. The others
    keep theirs bit for bit. With alpha = 0 this is `grass-static`, with alpha = 1 m_l is w_l.
    """

    class Options(GrassStatic.Options):
        refresh: PositiveInt = 100
        """Steps between two refreshes of m and so of the probabilities, T_u; a multiple of T_s."""
        alpha: Annotated[float, Field(ge=0, le=1)] = 0.5
        """Weight of the latest window in the moving average, alpha."""

        @model_validator(mode="after")
        def _refresh_falls_on_a_draw(self) -> Self:
            if self.refresh % self.period != 0:
                raise ValueError(
                    f"refresh must be a multiple of period, got {self.refresh} and {self.period}"
                )
            return self

    options: Options

    def start(self, context: Context) -> None:
        super().start(context)
        self._window_sums = np.zeros(len(context.units))
        self._window_counts = np.zeros(len(context.units), dtype=np.int64)
        self._refreshed_at = 0

    def observe(self, window: Window) -> None:
        super().observe(window)
        if window.probing:
            return
        sums, counts = _finite_sums(window.grad_rms)
        self._window_sums += sums
        self._window_counts += counts
        step = window.first_step + len(window.grad_rms)
        if step - self._refreshed_at >= self.options.refresh:
            self._refresh()
            self._refreshed_at = step

    def _refresh(self) -> None:
        alpha = self.options.alpha
        active = self._window_counts > 0
        means = self._window_sums[active] / self._window_counts[active]
        self._mgn[active] = alpha * means + (1 - alpha) * self._mgn[active]
        self._window_sums[:] = 0
        self._window_counts[:] = 0

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {
            "window_sums": self._window_sums.copy(),
            "window_counts": self._window_counts.copy(),
            "refreshed_at": self._refreshed_at,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._window_sums = np.array(state["window_sums"], dtype=np.float64)
        self._window_counts = np.array(state["window_counts"], dtype=np.int64)
        self._refreshed_at = int(state["refreshed_at"])


def _finite_sums(grad_rms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per unit: the sum of its finite readings over a window's steps, and how many there are."""
    finite = np.isfinite(grad_rms)
    return np.where(finite, grad_rms, 0).sum(axis=0, dtype=np.float64), finite.sum(axis=0)


def _normalised(mgn: Floats, how: Normalise) -> Floats:
    if how == "none" or not mgn.any():
        return mgn
    relative: Floats = mgn / mgn.max()  # nothing below overflows
    if how == "max":
        return relative
    if how == "mean":
        return relative / float(relative.mean())
    if how == "sum":
        return relative / float(relative.sum())
    centred: Floats = relative - relative.mean()
    spread = centred.std()
    return centred / spread if spread > 0 else centred
