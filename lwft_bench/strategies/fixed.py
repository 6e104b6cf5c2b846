"""Controls that choose once, or not at all."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from lwft_bench.plugins.options import PluginOptions
from lwft_bench.plugins.registry import register
from lwft_bench.schema.errors import UserError
from lwft_bench.strategies.base import Context, Selection, Strategy
from lwft_bench.strategies.draws import require_enough_units


@register("fixed")
class Fixed(Strategy):
    """The same units for the whole run: does it matter that layers take turns?"""

    varies = False

    class Options(PluginOptions):
        which: Literal["last", "random"] | tuple[NonNegativeInt, ...] = Field(
            default="last", union_mode="left_to_right"
        )
        """The `last` units (on the output side), some drawn uniformly at the start (`random`), or
        the indices of units."""
        num_active: PositiveInt = 2
        """Units trained, gamma."""

        @model_validator(mode="after")
        def _as_many_as_it_says(self) -> Self:
            if isinstance(self.which, tuple) and len(set(self.which)) != self.num_active:
                raise ValueError(
                    f"which names {len(set(self.which))} units, but num_active is {self.num_active}"
                )
            return self

    options: Options

    def start(self, context: Context) -> None:
        super().start(context)
        num_units = len(context.units)
        require_enough_units(self.options.num_active, num_units)
        which = self.options.which
        if isinstance(which, tuple) and max(which) >= num_units:
            raise UserError(
                f"strategy.which names unit {max(which)}, but this model has {num_units} units.",
                hint=f"Units are numbered from 0 to {num_units - 1}.",
            )

    def select(self, step: int) -> Selection:
        # One selection lasts to the end, so that what is drawn here need not be remembered.
        return Selection(units=self._units(), num_steps=self.context.total_steps - step)

    def _units(self) -> tuple[int, ...]:
        num_units, num_active = len(self.context.units), self.options.num_active
        which = self.options.which
        if which == "last":
            return tuple(range(num_units - num_active, num_units))
        if which == "random":
            drawn = self.context.rng.choice(num_units, num_active, replace=False)
            return tuple(sorted(drawn.tolist()))
        return tuple(sorted(set(which)))


@register("no-units")
class NoUnits(Strategy):
    """No unit, ever: only the always-trained parts train. How much of a method is theirs?"""

    varies = False
    may_be_empty = True

    def select(self, step: int) -> Selection:
        return Selection(units=(), num_steps=self.context.total_steps - step)
