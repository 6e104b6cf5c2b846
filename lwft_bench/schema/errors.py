"""Errors that are the user's to mend: shown as a message, never as a traceback."""

from __future__ import annotations


class UserError(Exception):
    """Something the user gave is wrong.

    The command line prints `message` and, below it, `hint` (the command or change that helps), and
    exits with code 2. `--debug` shows the traceback too.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message}\n{hint}")
        self.message = message
        self.hint = hint
