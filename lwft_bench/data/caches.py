"""Where what can be made again is kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """`~/.cache/lwft-bench`, or under XDG_CACHE_HOME."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lwft-bench"


def scores_folder() -> Path | None:
    """`scores` in there, or what LWFT_BENCH_SCORES names; None where that is empty: none are kept."""
    named = os.environ.get("LWFT_BENCH_SCORES")
    if named is None:
        return cache_folder() / "scores"
    return Path(named).expanduser() if named else None
