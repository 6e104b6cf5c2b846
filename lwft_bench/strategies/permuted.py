"""A control that can refute: right numbers, wrong layers."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field, field_validator

from lwft_bench.plugins.options import PluginOptions
from lwft_bench.plugins.registry import register, strategies
from lwft_bench.schema.config import Named
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.problems import format_key, validate
from lwft_bench.strategies.base import (
    Context,
    Needs,
    Selection,
    Strategy,
    Window,
)


@register("permuted")
class Permuted(Strategy):
    """Another strategy, the inner one, with unit pi(l) trained wherever it selects l.

    pi is a permutation without fixed points (for a single unit: the identity), drawn uniformly
    before the inner strategy starts, and fixed. The inner strategy is shown every reading and
    measurement under the unit it was taken of: while pi(l) trains, it is the score of pi(l) that is
    brought up to date. So scores are true, and only the unit that trains is another than the one they
    spoke for: unit k trains with the probability that the inner strategy gives pi^-1(k).

    Recorded probabilities are those of the units that train; scores and ages stand with the units
    they were measured of.

    If training goes as well as with the inner strategy, it does not matter which layers train.
    """

    class Options(PluginOptions):
        inner: dict[str, Any] = Field(default={"name": "grass"}, validate_default=True)
        """The inner strategy with its options: `{name: grass, period: 20}`."""

        @field_validator("inner", mode="before")
        @classmethod
        def _all_options_spelt_out(cls, value: Any) -> dict[str, Any]:
            named = Named.model_validate(value)
            try:
                inner = strategies.get(named.name)
            except UserError as error:
                raise ValueError(error.message) from error
            noun = f"option of strategy {named.name!r}"
            options, problems = validate(
                inner.Options, named.options, lambda path: ("", format_key(path)), noun
            )
            if options is None:
                raise ValueError("; ".join(map(str, problems)))
            return {"name": named.name} | options.model_dump(mode="json")

    options: Options

    def __init__(self, options: PluginOptions | None = None) -> None:
        super().__init__(options)
        self.inner: Strategy = strategies.build(Named.model_validate(self.options.inner))
        self.varies = self.inner.varies

    @classmethod
    def wraps(cls, options: PluginOptions) -> tuple[str, ...]:
        assert isinstance(options, Permuted.Options)
        return (str(options.inner["name"]),)

    @property
    def needs(self) -> Needs:
        return self.inner.needs

    def start(self, context: Context) -> None:
        super().start(context)
        self._trained = derangement(context.rng, len(context.units))
        self.inner.start(context)

    def select(self, step: int) -> Selection:
        chosen = self.inner.select(step)
        probabilities = None
        if chosen.probabilities is not None:
            probabilities = np.empty(len(self._trained))
            probabilities[self._trained] = chosen.probabilities
        return Selection(
            units=tuple(sorted(int(self._trained[unit]) for unit in chosen.units)),
            num_steps=chosen.num_steps,
            probabilities=None if probabilities is None else tuple(probabilities.tolist()),
            scores=chosen.scores,
            ages=chosen.ages,
            starts_sweep=chosen.starts_sweep,
        )

    def observe(self, window: Window) -> None:
        self.inner.observe(window)

    def state_dict(self) -> dict[str, Any]:
        return {"trained": self._trained.copy(), "inner": self.inner.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._trained = np.array(state["trained"], dtype=np.int64)
        self.inner.load_state_dict(state["inner"])


def derangement(rng: np.random.Generator, size: int) -> np.ndarray:
    """int64 [size]: a uniform permutation without fixed points; of one element, that one.

    By rejection: a share of about 1/e of all permutations has none.
    """
    while True:
        drawn: np.ndarray = rng.permutation(size).astype(np.int64)
        if size == 1 or not (drawn == np.arange(size)).any():
            return drawn
