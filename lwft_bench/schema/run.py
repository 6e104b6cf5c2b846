"""What a run writes down besides results: its suite, and what each cell is a cell of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from lwft_bench.schema.cell import CellId, Name
from lwft_bench.schema.suite import Published


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

    id: CellId
    model: Name
    method: Name
    task: Name
    seed: int
    ablation: dict[str, Any] = {}
    identity: str | None
    """None while the trials that decide its settings are not done."""
    identity_components: dict[str, str]


class CandidateRecord(Record):
    """Values that are tried together, and the ids of their trials."""

    values: dict[str, Any]
    trials: tuple[CellId, ...]


class TuningRecord(Record):
    """What is tried for one model, method, task and ablation, and which of it was chosen."""

    model: Name
    method: Name
    task: Name
    ablation: dict[str, Any] = {}
    candidates: tuple[CandidateRecord, ...]
    cells: tuple[CellId, ...]
    """The ids of the cells that it decides about."""
    ended: bool
    """Whether all trials have a result."""
    chosen: dict[str, Any] | None
    """None while trials are left, and where none has a validation loss: then no cell can run."""


class SuiteRecord(Record):
    """`suite.json`: the suite as it was resolved for the last run in this directory."""

    schema_version: int
    name: Name
    title: str
    description: str
    baseline: str | None
    published: Published | None = None
    """Numbers of a paper that the report shows beside the run's."""
    cells: tuple[SuiteCell, ...]
    trials: tuple[SuiteCell, ...] = ()
    """Cells that decide others' settings. They lie where all cells do and are in no comparison."""
    tunings: tuple[TuningRecord, ...] = ()
