"""What a run writes down besides results: its suite, and what each cell is a cell of."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from lwft_bench.schema.base import CellId, Name
from lwft_bench.schema.claims import Claim
from lwft_bench.schema.suite import Published
from lwft_bench.schema.tables import TableSpec

EVALUATION = "evaluation"
"""The component of an identity that training does not depend on: where it alone has changed, and the
weights were kept, a cell is only scored again."""


@dataclass(frozen=True)
class Identity:
    """`components`: sha256 (hex) of config, strategy, data, model and protocol, which training depends
    on; and, but for trials, of evaluation.
    """

    components: Mapping[str, str]

    @property
    def digest(self) -> str:
        """sha256 (hex) over the components."""
        return digest_of(dict(self.components))


def digest_of(value: Any) -> str:
    """sha256 (hex) of a value as canonical JSON: sorted keys, no spaces."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def trained_as(components: Mapping[str, str]) -> str:
    """The digest of those components of an identity that training depends on."""
    return digest_of({key: digest for key, digest in components.items() if key != EVALUATION})


def plain_ablation(ablation: Mapping[str, Any]) -> dict[str, Any]:
    """The ablated values in strict JSON, which has no infinity: there it is the text "inf"."""
    return {
        key: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in ablation.items()
    }


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CellRecord(_Record):
    """`identity.json` of a cell: written before it starts, so that it can be gone on with."""

    digest: str
    components: dict[str, str]
    threads: int
    """CPU threads the cell was started with, and is resumed with: they can change the last bits."""


class SuiteCell(_Record):
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


class CandidateRecord(_Record):
    """Values that are tried together, and the ids of their trials."""

    values: dict[str, Any]
    trials: tuple[CellId, ...]


class TuningRecord(_Record):
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


class SuiteRecord(_Record):
    """`suite.json`: the suite as it was resolved for the last run in this directory."""

    schema_version: int
    name: Name
    title: str
    description: str
    baseline: str | None
    published: Published | None = None
    """Numbers of a paper that the report shows beside the run's."""
    tables: dict[Name, TableSpec] = {}
    """The suite's tables, by name."""
    claims: tuple[Claim, ...] = ()
    """What the suite claims."""
    cells: tuple[SuiteCell, ...]
    trials: tuple[SuiteCell, ...] = ()
    """Cells that decide others' settings. They lie where all cells do and are in no comparison."""
    tunings: tuple[TuningRecord, ...] = ()

    @model_validator(mode="after")
    def _ids_are_unique(self) -> SuiteRecord:
        counts = Counter(cell.id for cell in (*self.cells, *self.trials))
        if twice := [cell_id for cell_id, count in counts.items() if count > 1]:
            raise ValueError(f"cells are there twice: {', '.join(twice)}")
        return self
