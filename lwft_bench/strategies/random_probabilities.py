"""A control: layers drawn as unevenly as another strategy draws them, but at random which."""

from __future__ import annotations

from typing import Any

import numpy as np

from lwft_bench.plugins.registry import register
from lwft_bench.schema.errors import UserError
from lwft_bench.strategies.base import Context, Selection
from lwft_bench.strategies.draws import draw_without_replacement
from lwft_bench.strategies.wrapping import Wrapping

HALVINGS = 60
"""Of the interval in which a temperature is sought: to the last digit of a double."""
EXTREME_TEMPERATURES = (-12.0, 12.0)
"""Natural logarithms: beyond the first one unit has everything, beyond the last all are alike."""


@register("random-probabilities")
class RandomProbabilities(Wrapping):
    """Probabilities of the same entropy as the inner strategy's, at every selection, on random units.

    Each unit has a standard normal number z_l, drawn once. Probabilities are softmax(z / tau), with tau
    such that their entropy is that of the inner strategy's at that moment. As many units are drawn
    from them as the inner strategy selected, without replacement. The inner strategy is shown all
    readings, and measures what it measures, so it costs the same. Unlike in `permuted`, no score
    decides which units train.

    If training goes as well as with the inner strategy, all that matters of it is how unevenly it
    draws. It needs an inner strategy that draws by probabilities.
    """

    def start(self, context: Context) -> None:
        self._numbers: np.ndarray = context.rng.standard_normal(len(context.units))
        super().start(context)

    def select(self, step: int) -> Selection:
        chosen = self.inner.select(step)
        if chosen.probabilities is None:
            raise UserError(
                f"random-probabilities: its inner strategy {self.inner.name!r} gives no probabilities "
                "whose entropy could be taken",
                hint="Take one that draws, e.g. grass.",
            )
        probabilities = of_entropy(self._numbers, entropy(np.array(chosen.probabilities)))
        with np.errstate(divide="ignore"):
            log_weights = np.log(probabilities)
        return Selection(
            units=draw_without_replacement(self.context.rng, log_weights, len(chosen.units)),
            num_steps=chosen.num_steps,
            probabilities=tuple(probabilities.tolist()),
            scores=chosen.scores,
            ages=chosen.ages,
        )

    def state_dict(self) -> dict[str, Any]:
        return {"numbers": self._numbers.copy()} | super().state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._numbers = np.array(state["numbers"], dtype=np.float64)
        super().load_state_dict(state)


def entropy(probabilities: np.ndarray) -> float:
    """In nats."""
    positive = probabilities[probabilities > 0]
    return float(-(positive * np.log(positive)).sum())


def of_entropy(numbers: np.ndarray, wanted: float) -> np.ndarray:
    """softmax(numbers / tau) of that entropy, which grows with tau; found by halving log tau."""
    low, high = EXTREME_TEMPERATURES
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if entropy(_softmax(numbers / np.exp(middle))) < wanted:
            low = middle
        else:
            high = middle
    return _softmax(numbers / np.exp(high))


def _softmax(values: np.ndarray) -> np.ndarray:
    weights: np.ndarray = np.exp(values - values.max())
    return weights / weights.sum()
