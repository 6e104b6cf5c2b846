"""Peaks that `lwft-bench plan --json` foretold."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from lwft_bench.schema.errors import UserError
from lwft_bench.schema.problems import format_key
from lwft_bench.schema.regular_files import Unreadable, read_text

MAX_PLAN_BYTES = 64 * 2**20
_HINT = "A plan: `lwft-bench plan SUITE --json > plan.json`."


class _Row(BaseModel):
    """One cell of a plan, as far as claims need it."""

    model_config = ConfigDict(extra="ignore", strict=True)

    id: str
    model: str
    method: str
    task: str
    ablation: dict[str, Any] = {}
    peak_bytes: int | None


class _Plan(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    cells: list[_Row]


@dataclass(frozen=True)
class PlannedPeak:
    """What a cell will need on the device while it trains."""

    cell: str
    model: str
    method: str
    task: str
    ablation: dict[str, Any]
    peak_bytes: int


def read_plan(path: Path) -> list[PlannedPeak]:
    """The cells of a plan that have a peak.

    Raises:
        UserError: It cannot be read or is no plan.
    """
    try:
        text = read_text(path, MAX_PLAN_BYTES)
        plan = _Plan.model_validate(json.loads(text))
    except Unreadable as error:
        raise UserError(f"{path}: cannot be read: {error.reason}", _HINT) from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"{path}: not JSON: {error}", _HINT) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = format_key(first["loc"])
        raise UserError(f"{path}: {where}: {first['msg'].lower()}", _HINT) from error
    return [
        PlannedPeak(row.id, row.model, row.method, row.task, row.ablation, row.peak_bytes)
        for row in plan.cells
        if row.peak_bytes is not None
    ]
