"""Kept weights in place of training: what a cell that is only scored again begins with."""

from __future__ import annotations

from pathlib import Path

from lwft_bench.cell.loading import Loaded
from lwft_bench.models.digests import weights_digest
from lwft_bench.results.reading import read_result_file
from lwft_bench.results.store import TRAINED, WEIGHTS
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.result import CellResult


def restore(loaded: Loaded, folder: Path) -> CellResult:
    """Puts the weights that were kept into the model; returns the result that they have.

    Raises:
        UserError: They cannot be read, or are not those of the result.
    """
    earlier = read_result_file(folder / TRAINED)
    loaded.adapter.load(loaded.model, folder / WEIGHTS)
    if weights_digest(loaded.adapter.tensors(loaded.model)) != earlier.weights_digest:
        raise UserError(
            f"{folder / WEIGHTS}: these weights are not those that the cell was trained to",
            "Remove the cell's folder, and it is trained again.",
        )
    return earlier
