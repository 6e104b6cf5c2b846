"""FRUGAL's blocks: a share of the units has state, the others do without (arXiv 2411.07837)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from lwft_bench.plugins.options import PluginOptions
from lwft_bench.plugins.registry import register
from lwft_bench.strategies.base import Context, Selection, Strategy


@register("frugal")
class Frugal(Strategy):
    """Every `period` steps round(density N) of the N units, drawn uniformly or in turn.

    Half a unit is rounded to the even number, as Python does. Density counts units, not parameters.
    FRUGAL is this together with `unselected: {optimizer: sign}`, `state_policy: restart` and everything
    outside the units trained always.
    """

    varies = None

    class Options(PluginOptions):
        density: Annotated[float, Field(ge=0, le=1)] = 0.25
        """Share of the units that have state, rho."""
        period: PositiveInt = 200
        """Steps between two selections."""
        order: Literal["random", "ascending", "descending"] = "random"
        """`random`: drawn from all units each time; the others go through the units in order, from the
        input or from the output, and begin again at the end."""

    options: Options

    def start(self, context: Context) -> None:
        super().start(context)
        self._num_active = round(self.options.density * len(context.units))
        self.may_be_empty = self._num_active == 0
        self._next = 0
        """Units that had their turn, counted on over all passes."""

    def select(self, step: int) -> Selection:
        num_units = len(self.context.units)
        if self.options.order == "random":
            units = self.context.rng.permutation(num_units)[: self._num_active].tolist()
        else:
            turns = [(self._next + turn) % num_units for turn in range(self._num_active)]
            self._next = (self._next + self._num_active) % num_units
            is_ascending = self.options.order == "ascending"
            units = turns if is_ascending else [num_units - 1 - turn for turn in turns]
        return Selection(units=tuple(sorted(units)), num_steps=self.options.period)

    def state_dict(self) -> dict[str, Any]:
        return {"next": self._next}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._next = int(state["next"])
