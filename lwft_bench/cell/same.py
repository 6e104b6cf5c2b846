"""A cell is what its identity says: what its process has read is what was hashed."""

from __future__ import annotations

from pathlib import Path

from lwft_bench.results.reading import read_cell_record
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import UserError
from lwft_bench.suites.identity import identify


def require_same(cell: Cell, folder: Path) -> None:
    """To be called in the cell's process, once its plugins are loaded.

    Raises:
        UserError: A plugin, the data or the model is another one than when the run began.
    """
    noted = read_cell_record(folder).components
    found = identify(cell).components
    changed = [name for name, digest in noted.items() if found.get(name) != digest]
    if changed:
        raise UserError(
            f"changed since the run began: {' and '.join(changed)}",
            "The cell did not run. The same command runs it, and all others that this concerns.",
        )
