"""What makes a selection valid."""

from __future__ import annotations

import math

import numpy as np

from lwft_bench.errors import UserError
from lwft_bench.strategies.base import Selection

PROBABILITY_TOLERANCE = 1e-6
"""How far the sum of a selection's probabilities may be from 1."""


class InvalidSelection(UserError):
    """A strategy returned something that cannot be trained."""


def validate_selection(selection: object, num_units: int) -> None:
    """Refuse what a strategy must not select.

    Raises:
        InvalidSelection: Saying which field of the selection is wrong and how.
    """
    problem = _problem(selection, num_units)
    if problem is not None:
        raise InvalidSelection(f"The strategy selected something invalid: {problem}.")


def _problem(selection: object, num_units: int) -> str | None:
    if not isinstance(selection, Selection):
        return f"{selection!r} is no Selection"
    units = list(selection.units)
    if not all(_is_integer(unit) for unit in units):
        return f"units must be integers, got {units}"
    if not units:
        return "units is empty"
    if len(set(units)) < len(units):
        return f"units holds one unit twice: {units}"
    if min(units) < 0 or max(units) >= num_units:
        return f"units must lie in 0..{num_units - 1}, got {units}"
    if not _is_integer(selection.num_steps) or selection.num_steps < 1:
        return f"num_steps must be an integer of at least 1, got {selection.num_steps!r}"
    if selection.probabilities is not None:
        probabilities = [float(p) for p in selection.probabilities]
        if len(probabilities) != num_units:
            return f"there are {num_units} units, but {len(probabilities)} probabilities"
        if not all(0 <= p <= 1 for p in probabilities):
            return f"probabilities must lie in 0..1, got {probabilities}"
        if abs(math.fsum(probabilities) - 1) > PROBABILITY_TOLERANCE:
            return f"probabilities sum to {math.fsum(probabilities)}, not to 1"
    if selection.scores is not None and len(selection.scores) != num_units:
        return f"there are {num_units} units, but {len(selection.scores)} scores"
    return None


def _is_integer(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
