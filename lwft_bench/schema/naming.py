"""What a misspelt name was probably meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name a misspelt one was probably meant to be, if any is close."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return close[0] if close else None


def unknown(what: str, name: str, names: Iterable[str]) -> str:
    """`unknown method 'grss'; did you mean 'grass'?`, or the valid names if none is near."""
    return f"unknown {what} {name!r}; {wanted(name, sorted(names))}"


def wanted(name: str, valid: Sequence[str]) -> str:
    """The name that was probably meant, or all that there are."""
    if close := nearest(name, valid):
        return f"did you mean {close!r}?"
    return f"expected one of {', '.join(valid)}" if valid else "there is none"
