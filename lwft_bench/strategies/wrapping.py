"""A strategy that runs another one inside it, and makes something else of what that one selects."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from lwft_bench.plugins.options import PluginOptions
from lwft_bench.plugins.registry import strategies
from lwft_bench.schema.base import Named
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.problems import format_key, validate
from lwft_bench.strategies.base import Context, Needs, Strategy, Window


class Wrapping(Strategy):
    """Shows the inner strategy everything, under the units it was taken of."""

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
        assert isinstance(options, Wrapping.Options)
        return (str(options.inner["name"]),)

    @property
    def needs(self) -> Needs:
        return self.inner.needs

    def start(self, context: Context) -> None:
        """The inner strategy starts after what the outer one draws, if anything."""
        super().start(context)
        self.inner.start(context)

    def observe(self, window: Window) -> None:
        self.inner.observe(window)

    def state_dict(self) -> dict[str, Any]:
        return {"inner": self.inner.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.inner.load_state_dict(state["inner"])
