"""`timing.jsonl` of a run directory: how its methods were timed against each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lwft_bench.results.rows import read_lines, typed_rows, write_rows
from lwft_bench.schema.timing import TimedSet, TimingHeader, TimingRow

TIMING = "timing.jsonl"


def read_timing(directory: Path) -> tuple[TimingHeader | None, list[TimingRow]]:
    """The header and one row a timed step; None and no rows where nothing was timed.

    Raises:
        UserError: The file is damaged.
    """
    path = directory / TIMING
    lines = read_lines(path)
    if not lines:
        return None, []
    (header,) = typed_rows(TimingHeader, path, lines[:1])
    return header, typed_rows(TimingRow, path, lines[1:], first=2)


def write_timing(
    directory: Path, asked: tuple[int, int], sets: Sequence[TimedSet], rows: Sequence[TimingRow]
) -> None:
    """Replaces the file in one step. asked: pairs, and steps of a turn."""
    pairs, steps = asked
    header = TimingHeader(pairs=pairs, steps=steps, sets=tuple(sets))
    write_rows(directory / TIMING, [header, *rows])
