"""LISA: layers drawn uniformly (arXiv 2403.17919, Algorithm 1), and LISA-D, fewer of the deep ones."""

from __future__ import annotations

import numpy as np
from pydantic import PositiveInt

from lwft_bench.plugins.options import PluginOptions
from lwft_bench.plugins.registry import register
from lwft_bench.strategies.base import Context, Selection, Strategy
from lwft_bench.strategies.draws import draw_without_replacement, require_enough_units


@register("lisa")
class Lisa(Strategy):
    """Every `period` steps `num_active` units, uniform without replacement.

    Successive draws are independent: a unit may be drawn again at once. Gradients are not weighted
    by 1/p. The recorded probability is the chance of each unit to be the first one drawn, 1/N; its
    chance to be among the drawn is gamma/N, as the paper writes it.
    """

    class Options(PluginOptions):
        num_active: PositiveInt = 2
        """Units trained at once, gamma in Algorithm 1."""
        period: PositiveInt = 20
        """Steps between two draws, K in Algorithm 1 (T_s in GRASS's terms)."""

    options: Options

    def start(self, context: Context) -> None:
        super().start(context)
        require_enough_units(self.options.num_active, len(context.units))

    def select(self, step: int) -> Selection:
        num_units = len(self.context.units)
        drawn = self.context.rng.choice(num_units, self.options.num_active, replace=False)
        return Selection(
            units=tuple(sorted(drawn.tolist())),
            num_steps=self.options.period,
            probabilities=(1 / num_units,) * num_units,
        )


@register("lisa-d")
class LisaD(Lisa):
    """LISA with probabilities that fall linearly with depth: p_l is in proportion to N - l.

    Of N units the first (l = 0, on the input side) is drawn N times as readily as the last. Drawn by
    weight without replacement, every `period` steps.
    """

    def select(self, step: int) -> Selection:
        num_units = len(self.context.units)
        weights = np.arange(num_units, 0, -1)
        return Selection(
            units=draw_without_replacement(
                self.context.rng, np.log(weights), self.options.num_active
            ),
            num_steps=self.options.period,
            probabilities=tuple((weights / weights.sum()).tolist()),
        )
