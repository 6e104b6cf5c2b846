"""A control that can refute: right numbers, wrong layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from lwft_bench.plugins.registry import register
from lwft_bench.strategies.base import Context, Selection
from lwft_bench.strategies.wrapping import Wrapping


@register("permuted")
class Permuted(Wrapping):
    """Another strategy, the inner one, with unit pi(l) trained wherever it selects l.

    pi is any permutation, drawn uniformly before the inner strategy starts, and fixed: over seeds each
    unit trains in place of each as often, itself included. (A permutation without fixed points would
    bar the unit with the highest score from being trained for it, and so show what that unit is
    worth, not what the scores are.) The inner strategy is shown every reading and measurement under
    the unit it was taken of: while pi(l) trains, it is the score of pi(l) that is brought up to date.
    So scores are true, and only the unit that trains is another than the one they spoke for: unit k
    trains with the probability that the inner strategy gives pi^-1(k).

    Recorded probabilities are those of the units that train; scores and ages stand with the units
    they were measured of.

    If training goes as well as with the inner strategy, it does not matter which layers train.
    """

    def start(self, context: Context) -> None:
        self._trained: np.ndarray = context.rng.permutation(len(context.units)).astype(np.int64)
        super().start(context)

    def select(self, step: int) -> Selection:
        chosen = self.inner.select(step)
        probabilities = None
        if chosen.probabilities is not None:
            probabilities = np.empty(len(self._trained))
            probabilities[self._trained] = chosen.probabilities
        trained = {int(self._trained[unit]) for unit in chosen.units}
        return Selection(
            units=tuple(sorted(trained)),
            num_steps=chosen.num_steps,
            probabilities=None if probabilities is None else tuple(probabilities.tolist()),
            scores=chosen.scores,
            ages=chosen.ages,
            starts_sweep=chosen.starts_sweep,
            observe=tuple(unit for unit in chosen.observe if unit not in trained),
            restart=chosen.restart,
        )

    def state_dict(self) -> dict[str, Any]:
        return {"trained": self._trained.copy()} | super().state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._trained = np.array(state["trained"], dtype=np.int64)
        super().load_state_dict(state)
