"""Where what can be made again is kept."""

from __future__ import annotations

import os
from pathlib import Path

from lwft_bench.schema.errors import UserError


def cache_folder() -> Path:
    """`~/.cache/lwft-bench`, or under XDG_CACHE_HOME.

    Raises:
        UserError: Nobody says where the user's home is.
    """
    return _at_home(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "XDG_CACHE_HOME") / "lwft-bench"


def scores_folder() -> Path | None:
    """`scores` in there, or what LWFT_BENCH_SCORES names; None where that is empty: none are kept.

    Raises:
        UserError: As above.
    """
    named = os.environ.get("LWFT_BENCH_SCORES")
    if named is None:
        return cache_folder() / "scores"
    return _at_home(named, "LWFT_BENCH_SCORES") if named else None


def _at_home(path: str, variable: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(
            f"no home folder is known for {path!r}", f"Name a folder in the variable {variable}."
        ) from None
