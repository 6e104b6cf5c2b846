"""Whether the files of a cell speak of the same cell and the same items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.result import CellResult
from lwft_bench.schema.rows import SampleRow
from lwft_bench.schema.run import plain_ablation


def require_same(folder: Path, result: CellResult, config: Cell) -> None:
    """Raises UserError if the result is not of the cell whose folder it lies in."""
    expected = {
        "cell": folder.name,
        "model": config.model.name,
        "method": config.method.name,
        "task": config.task.name,
        "seed": config.seed,
        "ablation": plain_ablation(config.ablation),
    }
    for key, value in expected.items():
        if (found := getattr(result, key)) != value:
            raise UserError(
                f"{folder / 'result.json'}: {key}: expected {value!r}, as its folder and config.json "
                f"say, found {found!r}"
            )


def require_items(folder: Path, result: CellResult, samples: Sequence[SampleRow]) -> None:
    """Raises UserError if an item has two rows, or a score has another number of items than rows.

    Without any rows there is nothing to agree with.
    """
    path = folder / "samples.jsonl"
    seen: dict[tuple[str, str], int] = {}
    for line, sample in enumerate(samples, 1):
        first = seen.setdefault((sample.benchmark, sample.id), line)
        if first != line:
            item = f"item {sample.id} of {sample.benchmark}"
            raise UserError(f"{path}:{line}: {item} is there twice: first on line {first}")
    rows = Counter(sample.benchmark for sample in samples)
    scored = {score.benchmark: score.num_items for score in result.scores}
    for name in [*scored, *rows] if rows else ():
        if rows[name] != scored.get(name, 0):
            wanted = f"{scored.get(name, 0)} items, as result.json says"
            raise UserError(f"{path}: {name}: expected {wanted}, found {rows[name]}")
