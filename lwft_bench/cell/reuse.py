"""Scores of another cell of the run that ended in the same weights: nobody has to answer again."""

from __future__ import annotations

from pathlib import Path

from lwft_bench.results.reading import read_cell_record
from lwft_bench.results.store import RunStore
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.result import CellResult
from lwft_bench.schema.rows import SampleRow
from lwft_bench.schema.run import EVALUATION

_SAME = ("model", "data", "protocol", EVALUATION)
"""Components of the identity that scores depend on besides weights."""


def scored_alike(
    cell: Cell, folder: Path, weights: str
) -> tuple[CellResult, list[SampleRow]] | None:
    """The result and samples of a finished cell whose answers are this one's; None if there is none.

    It has the same weights under the same adapter, precision and attention, and the same model, data,
    protocol and evaluation.

    Args:
        folder: The cell's work folder.
        weights: Their digest.
    """
    store = RunStore(folder.parents[1])
    components = read_cell_record(folder).components
    alike = f"{cell.model.name}--*--{cell.task.name}--seed{cell.seed}*"
    for path in sorted((store.directory / "cells").glob(alike)):
        try:
            if path.name == cell.id or not store.has_result(path.name):
                continue
            result = store.read_result(path.name)
            if result.weights_digest != weights or result.status != "done" or not result.scores:
                continue
            if any(result.identity_components.get(k) != components.get(k) for k in _SAME):
                continue
            if _is_same_model(cell, store.config(path.name)):
                samples = store.samples(path.name)
                if samples:
                    return result, samples
        except UserError:  # damaged, or of another version: it is told where it is looked at
            continue
    return None


def _is_same_model(cell: Cell, other: Cell) -> bool:
    """Whether equal weights make equal models."""
    return _evaluated_as(cell) == _evaluated_as(other)


def _evaluated_as(cell: Cell) -> tuple[object, ...]:
    training = cell.training
    return cell.method.adapter, training.precision, training.attention, training.kernels
