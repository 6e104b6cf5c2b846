"""Architectures that ship with the package: published models' configs, without weights."""

from __future__ import annotations

from typing import Any

from pydantic import PositiveInt

from lwft_bench.schema.base import Config, Name
from lwft_bench.schema.cell import ModelConfig
from lwft_bench.schema.documents import read_document
from lwft_bench.schema.shipped import shipped


class Architecture(Config):
    """A card of models/architectures/."""

    name: Name
    title: str
    source: str
    """Where the values were published."""
    parameters: PositiveInt
    """The published total, a tied tensor counted once."""
    config: dict[str, Any]
    """A transformers config with `model_type`."""

    @property
    def model(self) -> ModelConfig:
        """The model of a suite. It has no tokenizer: it can be planned, not run."""
        return ModelConfig(name=self.name, config=self.config)


def read_architecture(name: str) -> Architecture:
    """A shipped architecture, by a name that `shipped("architectures")` has."""
    return Architecture(**read_document(shipped("architectures")[name]).value)
