"""How training ends other than well. The cell's process turns these into a status."""

from __future__ import annotations


class Diverged(Exception):
    """The loss or a weight is not finite."""


class Interrupted(Exception):
    """Training was asked to stop and has written a checkpoint to go on from."""
