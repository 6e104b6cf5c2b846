"""Every unit, all the time: full fine-tuning, or adapters on every layer."""

from __future__ import annotations

from lwft_bench.plugins.registry import register
from lwft_bench.strategies.base import Selection, Strategy


@register("all")
class AllUnits(Strategy):
    """One selection of every unit, for the whole run."""

    varies = False

    def select(self, step: int) -> Selection:
        return Selection(
            units=tuple(range(len(self.context.units))),
            num_steps=self.context.total_steps - step,
        )
