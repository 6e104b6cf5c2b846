"""Whether the files of a cell speak of the same cell and the same items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.result import CellResult
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


def require_items(
    folder: Path, result: CellResult, benchmarks: Sequence[str], items: Sequence[str]
) -> None:
    """Raises UserError if an item has two rows, or a score has another number of items than rows.

    Without any rows there is nothing to agree with.

    Args:
        benchmarks, items: of each row of the samples.
    """
    path = folder / "samples.jsonl"
    pairs = list(zip(benchmarks, items, strict=True))
    first = dict(zip(reversed(pairs), range(len(pairs), 0, -1), strict=True))
    if len(first) < len(pairs):
        line, pair = next((n, one) for n, one in enumerate(pairs, 1) if first[one] != n)
        item = f"item {pair[1]} of {pair[0]}"
        raise UserError(f"{path}:{line}: {item} is there twice: first on line {first[pair]}")
    rows = Counter(benchmarks)
    scored = {score.benchmark: score.num_items for score in result.scores}
    for name in [*scored, *rows] if rows else ():
        if rows[name] != scored.get(name, 0):
            wanted = f"{scored.get(name, 0)} items, as result.json says"
            raise UserError(f"{path}: {name}: expected {wanted}, found {rows[name]}")
