"""The mean gradient norm (MGN) of each unit: probed before training, brought up to date in it."""

from __future__ import annotations

from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator

from lwft_bench.plugins.options import PluginOptions
from lwft_bench.strategies.base import Context, Needs, Strategy, Window
from lwft_bench.strategies.draws import require_enough_units

Floats = NDArray[np.float64]


class ProbingOptions(PluginOptions):
    """Options of strategies that measure the MGN in a probing phase."""

    num_active: PositiveInt = 2
    """Units trained at once, gamma."""
    probing_steps: PositiveInt = 10
    """Steps before training in which every unit's gradient is measured, T_p."""
    period: PositiveInt = 25
    """Steps between two selections, T_s."""


class RefreshOptions(ProbingOptions):
    """Options of strategies that go on measuring while they train."""

    refresh: PositiveInt = 100
    """Steps between two refreshes of m and so of what is made of it, T_u; a multiple of T_s."""
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Weight of the latest window in the moving average, alpha."""

    @model_validator(mode="after")
    def _refresh_falls_on_a_selection(self) -> Self:
        if self.refresh % self.period != 0:
            raise ValueError(
                f"refresh must be a multiple of period, got {self.refresh} and {self.period}"
            )
        return self


class MeanGradientNorms:
    """m_l of every unit.

    Probing sets it to the mean, over the T_p probing steps, of the root mean square of the unit's
    gradient: m_l = (1/T_p) sum_t sqrt(|g_t^(l)|^2 / N_p^(l)).

    At the end of the first period by which at least T_u steps have passed since the last refresh,
    each unit that trained meanwhile gets m_l <- alpha w_l + (1 - alpha) m_l, where w_l is the mean of
    its gradient's root mean square over those steps of the window in which it was active. The others
    keep theirs bit for bit.

    A reading that is not finite (NaN: the unit had no gradient in that step; inf: it overflowed) is
    left out of the means. A unit with no finite reading in the whole of probing is given the mean of
    the others' m; where no unit has one, m is zero.
    """

    def __init__(self, num_units: int) -> None:
        self.values: Floats = np.full(num_units, np.nan)
        """m_l; NaN before probing."""
        self.refreshed_at = 0
        """The step of the last refresh."""
        self._measured_at = np.zeros(num_units, dtype=np.int64)
        self._window_sums = np.zeros(num_units)
        self._window_counts = np.zeros(num_units, dtype=np.int64)

    def probe(self, window: Window) -> None:
        """Takes the readings of the probing phase."""
        sums, counts = _finite_sums(window.grad_rms)
        measured = counts > 0
        self.values[measured] = sums[measured] / counts[measured]
        self.values[~measured] = self.values[measured].mean() if measured.any() else 0.0

    def observe(self, window: Window, refresh: int, alpha: float) -> None:
        """Takes the readings of a period, and refreshes if T_u = `refresh` steps have passed."""
        sums, counts = _finite_sums(window.grad_rms)
        self._window_sums += sums
        self._window_counts += counts
        step = window.first_step + len(window.grad_rms)
        if step - self.refreshed_at < refresh:
            return
        active = self._window_counts > 0
        means = self._window_sums[active] / self._window_counts[active]
        self.values[active] = alpha * means + (1 - alpha) * self.values[active]
        if alpha > 0:
            self._measured_at[active] = step
        self._window_sums[:] = 0
        self._window_counts[:] = 0
        self.refreshed_at = step

    def ages(self, step: int) -> tuple[int, ...]:
        """Per unit: steps since anything was measured that its m_l holds."""
        return tuple((step - self._measured_at).tolist())

    def state_dict(self) -> dict[str, Any]:
        return {
            "mgn": self.values.copy(),
            "refreshed_at": self.refreshed_at,
            "measured_at": self._measured_at.copy(),
            "window_sums": self._window_sums.copy(),
            "window_counts": self._window_counts.copy(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.values = np.array(state["mgn"], dtype=np.float64)
        self.refreshed_at = int(state["refreshed_at"])
        self._measured_at = np.array(state["measured_at"], dtype=np.int64)
        self._window_sums = np.array(state["window_sums"], dtype=np.float64)
        self._window_counts = np.array(state["window_counts"], dtype=np.int64)


class GradientNormStrategy(Strategy):
    """A strategy that goes by `self.mgn`, whatever it makes of it.

    Options that derive from `RefreshOptions` have it brought up to date while training; otherwise it
    stays as probing left it.
    """

    class Options(ProbingOptions):
        pass

    options: ProbingOptions
    mgn: MeanGradientNorms

    @property
    def needs(self) -> Needs:
        return Needs(probing_steps=self.options.probing_steps)

    def start(self, context: Context) -> None:
        super().start(context)
        require_enough_units(self.options.num_active, len(context.units))
        self.mgn = MeanGradientNorms(len(context.units))

    def observe(self, window: Window) -> None:
        if window.probing:
            self.mgn.probe(window)
        elif isinstance(self.options, RefreshOptions):
            self.mgn.observe(window, self.options.refresh, self.options.alpha)

    def state_dict(self) -> dict[str, Any]:
        return self.mgn.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.mgn.load_state_dict(state)


def _finite_sums(grad_rms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per unit: the sum of its finite readings over a window's steps, and how many there are."""
    finite = np.isfinite(grad_rms)
    return np.where(finite, grad_rms, 0).sum(axis=0, dtype=np.float64), finite.sum(axis=0)
