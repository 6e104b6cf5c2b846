"""One unit at a time, all of them in turn: LIFT (OpenReview u0INlprg3U), BAdam (arXiv 2404.02827)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import PositiveInt

from lwft_bench.plugins.options import PluginOptions
from lwft_bench.plugins.registry import register
from lwft_bench.strategies.base import Context, Selection, Strategy

Direction = Literal["forward", "backward", "random"]


class Sweep(Strategy):
    """Every unit once in each sweep, a period each; a random order is drawn anew for each sweep."""

    directions: ClassVar[dict[str, Direction]]
    """By the name that the option `order` has for it; `forward` is from the input to the output."""
    options: Any

    def start(self, context: Context) -> None:
        super().start(context)
        self._waiting: list[int] = []
        """Units that are still to come in this sweep, the next one last."""

    @property
    def num_steps(self) -> int:
        """Steps that one unit trains in a sweep."""
        raise NotImplementedError

    def select(self, step: int) -> Selection:
        starts_sweep = not self._waiting
        if starts_sweep:
            self._waiting = self._order()[::-1]
        return Selection(
            units=(self._waiting.pop(),), num_steps=self.num_steps, starts_sweep=starts_sweep
        )

    def _order(self) -> list[int]:
        num_units = len(self.context.units)
        direction = self.directions[self.options.order]
        if direction == "random":
            drawn: list[int] = self.context.rng.permutation(num_units).tolist()
            return drawn
        return list(range(num_units))[:: 1 if direction == "forward" else -1]

    def state_dict(self) -> dict[str, Any]:
        return {"waiting": list(self._waiting)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._waiting = list(state["waiting"])


@register("lift")
class Lift(Sweep):
    """One unit at a time, front to end as GRASS's authors describe LIFT, or in another order."""

    class Options(PluginOptions):
        order: Literal["front-to-end", "end-to-front", "random"] = "front-to-end"
        """Front: the input side. `random` draws a permutation for each sweep."""
        period: PositiveInt = 20
        """Steps that a unit trains before the next one has its turn."""

    options: Options
    directions: ClassVar[dict[str, Direction]] = {
        "front-to-end": "forward",
        "end-to-front": "backward",
        "random": "random",
    }

    @property
    def num_steps(self) -> int:
        return self.options.period


@register("badam")
class BAdam(Sweep):
    """BAdam's blocks: one unit at a time for K steps, each once in a block-epoch.

    BAdam is this together with `state_policy: restart`: Adam begins anew with each block.
    """

    class Options(PluginOptions):
        order: Literal["random", "ascending", "descending"] = "random"
        """`ascending`: from the input to the output; `random`: a permutation for each block-epoch."""
        period: PositiveInt | Literal["auto"] = 100
        """Steps that a block trains, K. `auto` is the authors' rule min(max(n/(B D), 50), 100) for n
        examples, B of them a batch, and D blocks; n/B is taken to be the batches of an epoch."""

    options: Options
    directions: ClassVar[dict[str, Direction]] = {
        "ascending": "forward",
        "descending": "backward",
        "random": "random",
    }

    @property
    def num_steps(self) -> int:
        if self.options.period != "auto":
            return self.options.period
        return min(max(self.context.steps_per_epoch // len(self.context.units), 50), 100)
