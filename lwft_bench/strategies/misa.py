"""MISA: modules by importance, under a budget of parameters (arXiv 2511.00056)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt

from lwft_bench.plugins.options import PluginOptions
from lwft_bench.plugins.registry import register
from lwft_bench.strategies.base import Context, Selection, Strategy, Window

_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@register("misa")
class Misa(Strategy):
    """Units are drawn by weight exp(min(cap, eta G^2)) until a share of the model's parameters is there.

    G is a moving average of the norm of the unit's gradient (0 until there is a reading). For a draw
    the units that were never drawn, and the `oldest` ones, are taken first, those longest ago before
    others and lower ones before higher ones; then the rest are drawn by weight without replacement.
    Each is taken if it still fits the budget and passed over if not, so that a draw goes on to small
    units after a large one did not fit. Where the budget is below any unit, one is taken alone.

    Until every unit was drawn (warm-up) a selection holds for one step; then to the next multiple of
    `period`.
    """

    class Options(PluginOptions):
        share: Annotated[float, Field(gt=0, le=1)] = 0.03
        """Of all parameters of the model, those that may train at once: delta."""
        period: PositiveInt = 50
        """Steps between two draws, T."""
        eta: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
        """How much importance counts; 0: all weights are equal."""
        cap: _Positive = 5.0
        """The largest exponent of a weight."""
        beta: Annotated[float, Field(ge=0, lt=1)] = 0.8
        """Of the moving average of norms."""
        oldest: NonNegativeInt = 2
        """Units that are taken, if they fit, because they were drawn longest ago."""
        bias_correction: Literal["correct", "published"] = "correct"
        """`correct`: G = m / (1 - beta^n) of m = beta m + (1 - beta) reading. `published`, as the code
        does it: G = (beta G + (1 - beta) reading) / (1 - beta^n), which is applied to what was
        corrected before and lets G of a constant norm grow tenfold, and shrink again."""
        window_mean: Literal["steps", "period"] = "steps"
        """What the norms of a window are divided by: its `steps`, or always `period`, as in the code,
        which makes the readings of the warm-up too small by as much."""
        norms: Literal["raw", "clipped"] = "raw"
        """Whether norms are taken before or after `training.clip`, as in the code (its limit is 1)."""
        average: Literal["norms", "squares"] = "norms"
        """What the moving average is over: `norms`, squared afterwards (the code), or their `squares`
        (the paper)."""
        scale: Literal["frobenius", "rms"] = "frobenius"
        """The norm itself (the code), or divided by the root of the unit's size (one reading of the
        paper)."""

    options: Options

    def start(self, context: Context) -> None:
        super().start(context)
        num_units = len(context.units)
        self._sizes = np.array([unit.num_parameters for unit in context.units])
        self._budget = self.options.share * context.total_parameters
        self._average = np.zeros(num_units)
        """m or, of the published form, G; of norms or of squares."""
        self._readings = np.zeros(num_units, dtype=np.int64)
        """n: how many windows each unit had."""
        self._drawn_at = np.full(num_units, -1, dtype=np.int64)

    @property
    def importance(self) -> np.ndarray:
        """float64 [units]: G, or G^2 where the average is over squares."""
        if self.options.bias_correction == "published":
            return self._average.copy()
        seen = np.maximum(self._readings, 1)
        corrected: np.ndarray = self._average / (1 - self.options.beta**seen)
        return corrected

    @property
    def probabilities(self) -> np.ndarray:
        """float64 [units], summing to 1: of being the next one drawn when all are in the urn."""
        weights = np.exp(self._exponents() - self.options.cap)
        shares: np.ndarray = weights / weights.sum()
        return shares

    def select(self, step: int) -> Selection:
        importance, probabilities = self.importance, self.probabilities
        chosen: list[int] = []
        left = self._budget
        for unit in self._candidates():
            if self._sizes[unit] <= left or not (chosen or self._sizes.min() <= self._budget):
                chosen.append(unit)
                left -= self._sizes[unit]
        self._drawn_at[chosen] = step
        warming_up = (self._drawn_at < 0).any()
        period = self.options.period
        return Selection(
            units=tuple(sorted(chosen)),
            num_steps=1 if warming_up else period - step % period,
            probabilities=tuple(probabilities.tolist()),
            scores=tuple(importance.tolist()),
        )

    def _candidates(self) -> Iterator[int]:
        """All units, in the order in which they are tried."""
        by_age = np.argsort(self._drawn_at, kind="stable")
        rank = np.empty(len(by_age), dtype=np.int64)
        rank[by_age] = np.arange(len(by_age))
        forced = (self._drawn_at < 0) | (rank < self.options.oldest)
        yield from (int(unit) for unit in by_age if forced[unit])
        # Gumbel noise orders the urn as draws by weight without replacement do.
        keys = self._exponents() + self.context.rng.gumbel(size=len(by_age))
        yield from (int(unit) for unit in np.argsort(-keys, kind="stable") if not forced[unit])

    def _exponents(self) -> np.ndarray:
        """min(cap, eta G^2)."""
        importance = self.importance
        with np.errstate(over="ignore"):
            squares = importance if self.options.average == "squares" else importance**2
            exponents: np.ndarray = np.minimum(self.options.eta * squares, self.options.cap)
        return exponents

    def observe(self, window: Window) -> None:
        norms = window.grad_rms
        if self.options.scale == "frobenius":
            norms = norms * np.sqrt(self._sizes)
        if self.options.norms == "clipped" and window.clip_scale is not None:
            norms = norms * window.clip_scale[:, None]
        seen = np.isfinite(norms).any(axis=0)
        with np.errstate(over="ignore"):
            values = norms**2 if self.options.average == "squares" else norms
            totals = np.where(np.isfinite(values), values, 0).sum(axis=0)
        steps = self.options.period if self.options.window_mean == "period" else len(norms)
        self._take(seen, np.minimum(totals, np.finfo(np.float64).max) / steps)

    def _take(self, seen: np.ndarray, reading: np.ndarray) -> None:
        beta = self.options.beta
        self._readings[seen] += 1
        average = beta * self._average + (1 - beta) * reading
        if self.options.bias_correction == "published":
            average = average / (1 - beta ** np.maximum(self._readings, 1))
        self._average = np.where(seen, np.minimum(average, 1e150), self._average)

    def state_dict(self) -> dict[str, Any]:
        return {
            "average": self._average.copy(),
            "readings": self._readings.copy(),
            "drawn_at": self._drawn_at.copy(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._average = np.array(state["average"], dtype=np.float64)
        self._readings = np.array(state["readings"], dtype=np.int64)
        self._drawn_at = np.array(state["drawn_at"], dtype=np.int64)
