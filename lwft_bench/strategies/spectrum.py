"""Units with the most signal in their weights, for the whole run, after Spectrum (arXiv 2406.06623)."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from pydantic import Field

from lwft_bench.plugins.options import PluginOptions
from lwft_bench.plugins.registry import register
from lwft_bench.schema.errors import UserError
from lwft_bench.strategies.base import Needs, Selection, Strategy


@register("spectrum")
class Spectrum(Strategy):
    """The top share of the units of each kind by `measure("snr")`, chosen once.

    The signal-to-noise ratio of a weight matrix is the sum of its singular values above a threshold
    over that of the others, over the largest one; of a unit, the mean over its matrices. Spectrum
    ranks modules of one kind (all the `mlp.up_proj`) among themselves, which is what
    `units: modules` comes to; with layers as units there is one kind.
    """

    varies = False

    class Options(PluginOptions):
        top_share: Annotated[float, Field(gt=0, le=1)] = 0.25
        """Share of the units of each kind that train, rounded down, but at least one."""

    options: Options

    @property
    def needs(self) -> Needs:
        return Needs(measure=True)

    def select(self, step: int) -> Selection:
        ratios = self.context.measure("snr")
        if np.isnan(ratios).any():
            raise UserError(
                f"The units' signal-to-noise ratios are {ratios.tolist()}: some unit has no weight "
                "matrix, or weights that are no numbers.",
                hint="Check the model's weights and the method's `units`.",
            )
        of_kind: dict[str, list[int]] = {}
        for unit in self.context.units:
            of_kind.setdefault(unit.kind, []).append(unit.index)
        chosen: list[int] = []
        for units in of_kind.values():
            count = max(1, math.floor(self.options.top_share * len(units)))
            chosen += sorted(units, key=lambda unit: -ratios[unit])[:count]
        # One selection lasts to the end, so that nothing need be remembered.
        return Selection(
            units=tuple(sorted(chosen)),
            num_steps=self.context.total_steps - step,
            scores=tuple(ratios.tolist()),
        )
