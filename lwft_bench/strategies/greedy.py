"""A control: the units with the largest gradients, always."""

from __future__ import annotations

import numpy as np

from lwft_bench.plugins.registry import register
from lwft_bench.strategies.base import Selection
from lwft_bench.strategies.gradient_norms import GradientNormStrategy, RefreshOptions


@register("greedy")
class Greedy(GradientNormStrategy):
    """The gamma units of largest MGN, measured as `grass` measures it; nothing is drawn.

    The limit of `grass` for tau towards 0. Of equal ones those on the input side.
    """

    varies = None

    class Options(RefreshOptions):
        pass

    options: Options

    def select(self, step: int) -> Selection:
        largest = np.argsort(-self.mgn.values, kind="stable")[: self.options.num_active]
        return Selection(
            units=tuple(sorted(largest.tolist())),
            num_steps=self.options.period,
            scores=tuple(self.mgn.values.tolist()),
            ages=self.mgn.ages(step),
        )
