"""BlockLLM: the tensors of largest gradient, until the loss stalls (arXiv 2406.17296)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt

from lwft_bench.plugins.options import PluginOptions
from lwft_bench.plugins.registry import register
from lwft_bench.strategies.base import Context, Needs, Selection, Strategy, Window

PACKAGE_INTERVAL = 1000
"""Steps after which the package looks whether it should select anew."""


@register("blockllm")
class BlockLLM(Strategy):
    """Units of highest score train until the loss is not below its recent mean; then others may.

    By the paper's rule the score is |g| / f, f the number of selections that the unit was in (at least
    one), and units are taken from the top until a share 1 - s of the model's parameters is reached.
    Every `period` steps, with m losses since the last selection, new units are selected if the last
    loss is not below the mean of the last m. Gradients of all units are measured for the one step
    before that, and in a probing step before the first selection.

    By the package's rule the first selection is int((1 - s) N) of N units at random, one other unit is
    measured at a time, and a selection is made at multiples of 1,000 steps only, if the mean of all
    losses since the last one is below that of the last m: never while the loss falls. Its score divides
    by exp(f / step), f summing to one, which is within 0.1 % of 1; the unit that would reach the share
    is left out.
    """

    varies = None

    class Options(PluginOptions):
        rule: Literal["paper", "package"] = "paper"
        """Which of the two."""
        sparsity: Annotated[float, Field(ge=0, lt=1)] = 0.9
        """Share of the model's parameters that do not train, s."""
        patience: PositiveInt = 100
        """Losses that the last one is compared with, m."""
        period: PositiveInt = 20
        """Steps between two looks at the loss; by the package's rule, that one unit is measured."""
        observed: NonNegativeInt = 1
        """Unselected units that are measured at a time, by the package's rule."""

    options: Options

    @property
    def needs(self) -> Needs:
        return Needs(probing_steps=1 if self.options.rule == "paper" else 0)

    def start(self, context: Context) -> None:
        super().start(context)
        num_units = len(context.units)
        self._sizes = np.array([unit.num_parameters for unit in context.units])
        self._norms = np.full(num_units, np.nan)
        """Of the last gradient that each unit had since the last selection."""
        self._visits = np.zeros(num_units, dtype=np.int64)
        self._selected: list[int] = []
        self._losses: list[float] = []
        """Since the last selection."""
        self._measuring = False
        """Whether the step that ends measured all units."""

    def select(self, step: int) -> Selection:
        if not self._selected:
            return self._take_anew(self._first())
        if self.options.rule == "package":
            if self._is_due_by_package(step):
                return self._take_anew(self._best_by_package(step))
            return self._go_on(
                self._some_others(), self.options.period - step % self.options.period
            )
        if self._measuring:
            return self._take_anew(self._best())
        self._measuring = self.stalls(self._losses, self.options.patience)
        if self._measuring:
            return self._go_on(self._others(), 1)
        return self._go_on((), self.options.period)

    @staticmethod
    def stalls(losses: list[float], patience: int) -> bool:
        """Whether the last loss is not below the mean of the last `patience`, itself included."""
        return len(losses) >= patience and losses[-1] >= float(np.mean(losses[-patience:]))

    @property
    def scores(self) -> np.ndarray:
        """float64 [units]: |g| / f; NaN where there is no gradient."""
        scores: np.ndarray = self._norms / np.maximum(self._visits, 1)
        return scores

    def scores_by_package(self, step: int) -> np.ndarray:
        """float64 [units]: |g| / exp(f / step), f summing to one; NaN where there is no gradient."""
        frequency = self._visits / self._visits.sum()
        scores: np.ndarray = self._norms / np.exp(frequency / step)
        return scores

    def _take_anew(self, units: list[int]) -> Selection:
        scores = None if np.isnan(self._norms).any() else tuple(self.scores.tolist())
        self._selected = sorted(units)
        self._visits[self._selected] += 1
        self._losses, self._measuring = [], False
        self._norms[:] = np.nan
        observe = self._some_others() if self.options.rule == "package" else ()
        return Selection(tuple(units), self.options.period, scores=scores, observe=observe)

    def _go_on(self, observe: tuple[int, ...], num_steps: int) -> Selection:
        return Selection(tuple(self._selected), num_steps, observe=observe, restart=False)

    def _first(self) -> list[int]:
        if self.options.rule == "paper":
            return self._best()
        order = self.context.rng.permutation(len(self._sizes))
        count = max(1, int((1 - self.options.sparsity) * len(order) + 1e-9))
        return [int(unit) for unit in order[:count]]

    def _best(self) -> list[int]:
        """From the top until the share is reached, the unit that reaches it included."""
        scores = np.where(np.isnan(self._norms), -1.0, self.scores)
        wanted = (1 - self.options.sparsity) * self.context.total_parameters
        order = np.argsort(-scores, kind="stable")
        before = np.concatenate([[0], np.cumsum(self._sizes[order])[:-1]])
        return [int(unit) for unit in order[before < wanted]]

    def _is_due_by_package(self, step: int) -> bool:
        m = self.options.patience
        return (
            step % PACKAGE_INTERVAL == 0
            and len(self._losses) > m
            and float(np.mean(self._losses)) < float(np.mean(self._losses[-m:]))
        )

    def _best_by_package(self, step: int) -> list[int]:
        """From the top while the sum stays below the share; where scores run out, at random."""
        scores = self.scores_by_package(step)
        scored = [int(u) for u in np.argsort(-scores, kind="stable") if np.isfinite(scores[u])]
        others = [u for u in self.context.rng.permutation(len(scores)).tolist() if u not in scored]
        limit = int((1 - self.options.sparsity) * self.context.total_parameters)
        sums = np.cumsum(self._sizes[[*scored, *others]])
        return [*scored, *others][: max(1, int((sums < limit).sum()))]

    def _others(self) -> tuple[int, ...]:
        return tuple(u for u in range(len(self._sizes)) if u not in set(self._selected))

    def _some_others(self) -> tuple[int, ...]:
        others = self._others()
        count = min(self.options.observed, len(others))
        drawn = self.context.rng.permutation(len(others))[:count].tolist()
        return tuple(sorted(others[index] for index in drawn))

    def observe(self, window: Window) -> None:
        norms = window.grad_rms * np.sqrt(self._sizes)
        for row in norms:
            seen = np.isfinite(row)
            self._norms[seen] = row[seen]
        if not window.probing:
            self._losses += window.loss.tolist()
            if self.options.rule == "paper":
                self._losses = self._losses[-self.options.patience :]

    def state_dict(self) -> dict[str, Any]:
        return {
            "norms": self._norms.copy(),
            "visits": self._visits.copy(),
            "selected": list(self._selected),
            "losses": list(self._losses),
            "measuring": self._measuring,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._norms = np.array(state["norms"], dtype=np.float64)
        self._visits = np.array(state["visits"], dtype=np.int64)
        self._selected = [int(unit) for unit in state["selected"]]
        self._losses = [float(loss) for loss in state["losses"]]
        self._measuring = bool(state["measuring"])
