"""HiFT: groups of units in turn, one optimizer step each (arXiv 2401.15207)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import PositiveInt

from lwft_bench.plugins.options import PluginOptions
from lwft_bench.plugins.registry import register
from lwft_bench.strategies.base import Context, Selection, Strategy


@register("hift")
class Hift(Strategy):
    """A sweep trains every group of units for one step, in an order that never changes.

    The last group has fewer units where they do not divide evenly. The method sets the clock of the
    learning rate to the sweep (`lr_clock: sweep`), so that all groups of a sweep have the same one.
    """

    class Options(PluginOptions):
        group_size: PositiveInt = 1
        """Units trained at once, m: neighbours in the order."""
        order: Literal["down2up", "up2down", "random"] = "down2up"
        """`down2up`: from the embedding to the head; `random`: shuffled once, before training."""

    options: Options

    def start(self, context: Context) -> None:
        super().start(context)
        order = list(range(len(context.units)))
        if self.options.order == "up2down":
            order.reverse()
        elif self.options.order == "random":
            order = context.rng.permutation(len(order)).tolist()
        self._order: list[int] = order
        self._turn = 0
        """Units that had their turn in this sweep."""

    def select(self, step: int) -> Selection:
        starts_sweep = self._turn == 0
        group = self._order[self._turn : self._turn + self.options.group_size]
        self._turn += len(group)
        if self._turn == len(self._order):
            self._turn = 0
        return Selection(units=tuple(sorted(group)), num_steps=1, starts_sweep=starts_sweep)

    def state_dict(self) -> dict[str, Any]:
        return {"order": list(self._order), "turn": self._turn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._order, self._turn = list(state["order"]), state["turn"]
