"""Errors that are the user's to mend: shown as a message, never as a traceback."""

from __future__ import annotations

LONGEST_TEXT = 20_000
"""Characters of an exception's text that are kept: libraries put whole inputs into theirs."""


class UserError(Exception):
    """Something the user gave is wrong.

    The command line prints `message` and, below it, `hint` (the command or change that helps), and
    exits with code 2. `--debug` shows the traceback too.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message}\n{hint}")
        self.message = message
        self.hint = hint


def text_of(error: BaseException) -> str:
    """What an exception says of itself, cut where nobody reads on. Some cannot say it."""
    try:
        return str(error)[:LONGEST_TEXT]
    except Exception:  # whatever its own __str__ raises
        return "its text cannot be had"


def described(error: BaseException) -> str:
    """Its type, and what it says if it says something."""
    if isinstance(error, UserError) and error.hint is not None:
        return f"{type(error).__name__}: {error.message.rstrip('.')}; {error.hint}"
    return ": ".join(filter(None, (type(error).__name__, text_of(error))))
