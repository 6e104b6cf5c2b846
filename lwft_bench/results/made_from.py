"""What a run's report was made from, so that an old one is seen to be old."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lwft_bench.results.atomic import write_text_atomic
from lwft_bench.results.correctness import CORRECTNESS
from lwft_bench.results.timing import TIMING

DIGEST = "report.sha256"
"""Beside report.md."""


def inputs_digest(directory: Path) -> str:
    """sha256 (hex) over the suite's record, the timing of its methods and every finished cell: its
    result, and the sizes of its rows; of a packed run, its table of right and wrong items.
    """
    digest = hashlib.sha256()
    of_run = [directory / "suite.json", *directory.glob(CORRECTNESS), *directory.glob(TIMING)]
    for path in [*of_run, *sorted(directory.glob("cells/*/*.json*"))]:
        digest.update(f"{path.relative_to(directory)} ".encode())
        whole = path.suffix == ".json" or path in of_run
        try:
            size = path.stat().st_size
            content = path.read_bytes() if whole else str(size).encode()
        except OSError:
            content = b"unreadable"
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def is_current(directory: Path) -> bool:
    """Whether the report was made from what is there."""
    try:
        noted = (directory / DIGEST).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return False
    return noted == inputs_digest(directory)


def note(directory: Path, digest: str) -> None:
    """Once the report stands that was made from what had this digest."""
    write_text_atomic(directory / DIGEST, f"{digest}\n")
