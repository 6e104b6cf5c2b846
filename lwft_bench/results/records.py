"""What a run writes down besides results: its suite, and what each cell is a cell of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict


class Identity(Protocol):
    """What a result depends on: equal digests, equal cells."""

    @property
    def components(self) -> Mapping[str, str]:
        """Digests of config, strategy, data, model and protocol."""

    @property
    def digest(self) -> str:
        """sha256 over the components."""


def plain_ablation(ablation: Mapping[str, Any]) -> dict[str, Any]:
    """The ablated values in strict JSON, which has no infinity: there it is the text "inf"."""
    return {
        key: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in ablation.items()
    }


class Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CellRecord(Record):
    """`identity.json` of a cell: written before it starts, so that it can be gone on with."""

    digest: str
    components: dict[str, str]
    threads: int
    """CPU threads the cell was started with, and is resumed with: they can change the last bits."""


class SuiteCell(Record):
    """One cell as the suite has it."""

    id: str
    model: str
    method: str
    task: str
    seed: int
    ablation: dict[str, Any] = {}
    identity: str
    identity_components: dict[str, str]


class SuiteRecord(Record):
    """`suite.json`: the suite as it was resolved for the last run in this directory."""

    schema_version: int
    name: str
    title: str
    description: str
    baseline: str | None
    cells: tuple[SuiteCell, ...]
