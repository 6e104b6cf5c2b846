"""ABSignSGD's order: one unit a step, deep ones more often (OpenReview NQsdnYkCar)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from lwft_bench.plugins.options import PluginOptions
from lwft_bench.plugins.registry import register
from lwft_bench.strategies.base import Context, Selection, Strategy


@register("absignsgd")
class DepthBiased(Strategy):
    """At each step the unit whose clock is lowest trains, and its clock goes on by its cost.

    Unit i = 1..N, counted from the input, costs tau_i = N + c (N - i + 1), which stands for how far
    down the backward pass has to go; its clock starts at tau_i. Of equal clocks the lower unit's
    counts. Nothing is drawn, and every unit has its turn within a bounded number of steps. In the
    long run unit i trains in a share (1 / tau_i) / sum_k (1 / tau_k) of the steps.

    ABSignSGD is this together with `optimizer: sign`.
    """

    class Options(PluginOptions):
        cost: Annotated[float, Field(ge=0, le=1e6)] = 10.0
        """What each unit that the backward pass goes through adds, c."""

    options: Options

    def start(self, context: Context) -> None:
        super().start(context)
        num_units = len(context.units)
        self._costs = [
            num_units + self.options.cost * (num_units - index) for index in range(num_units)
        ]
        self._clocks = list(self._costs)

    def select(self, step: int) -> Selection:
        unit = self._clocks.index(min(self._clocks))
        self._clocks[unit] += self._costs[unit]
        return Selection(units=(unit,), num_steps=1)

    def state_dict(self) -> dict[str, Any]:
        return {"clocks": list(self._clocks)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._clocks = [float(clock) for clock in state["clocks"]]
