"""The base of what can be set of a strategy, an adapter or an optimizer."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class PluginOptions(BaseModel):
    """Base of the `Options` of every plugin: it refuses unknown keys and cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)
