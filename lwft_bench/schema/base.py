"""What all configuration is made of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")]
"""Fit for a folder's name: cell ids are made of names."""

MAX_CELL_ID = 200
"""Characters: file systems take 255 bytes, and some stand in front of and behind an id."""
CellId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+=-]*$", max_length=MAX_CELL_ID)]
"""A folder's name: nothing that leads out of the run's directory."""

AVERAGE = "average"
"""Key of the unweighted mean over a task's benchmarks, beside the benchmarks' names."""


class Config(BaseModel):
    """Base of all configuration: immutable, no unknown keys, infinity survives JSON."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        ser_json_inf_nan="constants",
        use_attribute_docstrings=True,  # for the JSON schema: what editors show
    )


class Named(Config):
    """A registered thing and its options: `{name: grass, temperature: 1.0}` or just `grass`.

    The options are validated against the registered class when a suite is read.
    """

    model_config = ConfigDict(extra="allow")

    name: str

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})

    @model_validator(mode="before")
    @classmethod
    def _from_bare_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, handler(core_schema)]}
