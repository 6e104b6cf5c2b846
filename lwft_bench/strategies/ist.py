"""IST: adapters of a quarter of the layers, drawn at each step by importance (arXiv 2410.11772)."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
from pydantic import Field, PositiveInt

from lwft_bench.plugins.options import PluginOptions
from lwft_bench.plugins.registry import register
from lwft_bench.strategies.base import Context, Needs, Selection, Strategy
from lwft_bench.strategies.draws import draw_without_replacement

Share = Annotated[float, Field(gt=0, le=1)]


@register("ist")
class Ist(Strategy):
    """Importance-aware sparse tuning, as the authors' code does it.

    A number I_l per unit starts at 0. Every `interval` steps some sets of units are drawn by weight
    sigma(I), and the loss is taken on one batch with the adapters of each set scaled by beta. With
    rewards r_k = exp(-loss_k), less their mean, each set k adds to the I_l of its units
    lr r_k sigma(I_l) (1 - sigma(I_l)), sigma(I) being that before the update. At each step units are
    drawn by weight sigma(-I) and train.

    Mind the sign: I_l rises when suppressing l did less harm than suppressing others, so that a high
    I means unimportant, though the paper calls it importance. Recorded scores are -I, and recorded
    probabilities sigma(-I) as shares of their sum. Both draws are without replacement.
    """

    class Options(PluginOptions):
        active_share: Share = 0.25
        """Share of the units that train in a step, rounded down, but at least one."""
        interval: PositiveInt | None = 10
        """Steps between two updates of I; none at step 0. None: never, all units alike (RST)."""
        suppressed_share: Share = 0.5
        """Share of the units in each set of suppressed ones, rounded down, but at least one."""
        num_sets: Annotated[int, Field(ge=2)] = 3
        """Sets compared in an update, all different; fewer if there are not so many."""
        beta: Annotated[float, Field(ge=0, lt=1)] = 0.25
        """What the adapters of suppressed units are scaled by."""
        importance_lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 10.0
        """Learning rate of I, eta."""

    options: Options

    @property
    def needs(self) -> Needs:
        updates = self.options.interval is not None
        return Needs(measure=updates, suppress=updates)

    def start(self, context: Context) -> None:
        super().start(context)
        num_units = len(context.units)
        self._importance = np.zeros(num_units)
        self._num_active = max(1, math.floor(self.options.active_share * num_units))
        self._num_suppressed = max(1, math.floor(self.options.suppressed_share * num_units))

    def select(self, step: int) -> Selection:
        interval = self.options.interval
        if interval is not None and step > 0 and step % interval == 0:
            self._update_importance()
        weights = _sigmoid(-self._importance)
        return Selection(
            units=draw_without_replacement(self.context.rng, np.log(weights), self._num_active),
            num_steps=1,
            probabilities=tuple((weights / weights.sum()).tolist()),
            scores=tuple((-self._importance).tolist()),
        )

    def _update_importance(self) -> None:
        suppressed = self._draw_sets()
        losses = self.context.measure("suppressed_loss", units=suppressed, beta=self.options.beta)
        if not np.isfinite(losses).all():
            return  # nothing was learned; if training diverges, it says so itself
        rewards = np.exp(-losses)
        rewards -= rewards.mean()
        probabilities = _sigmoid(self._importance)
        slopes = self.options.importance_lr * probabilities * (1 - probabilities)
        for units, reward in zip(suppressed, rewards, strict=True):
            self._importance[list(units)] += reward * slopes[list(units)]

    def _draw_sets(self) -> list[tuple[int, ...]]:
        """Sets of suppressed units, all different: one that came before is drawn again."""
        num_different = math.comb(len(self._importance), self._num_suppressed)
        log_weights = np.log(_sigmoid(self._importance))
        sets: list[tuple[int, ...]] = []
        while len(sets) < min(self.options.num_sets, num_different):
            drawn = draw_without_replacement(self.context.rng, log_weights, self._num_suppressed)
            if drawn not in sets:
                sets.append(drawn)
        return sets

    def state_dict(self) -> dict[str, Any]:
        return {"importance": self._importance.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._importance = np.array(state["importance"], dtype=np.float64)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    result: np.ndarray = 1 / (1 + np.exp(-values))
    return result
