"""What makes a selection valid."""

from __future__ import annotations

import math

import numpy as np

from lwft_bench.schema.errors import UserError
from lwft_bench.strategies.base import Selection

PROBABILITY_TOLERANCE = 1e-6
"""How far the sum of a selection's probabilities may be from 1."""


class InvalidSelection(UserError):
    """A strategy returned something that cannot be trained."""


def validate_selection(selection: object, num_units: int, *, may_be_empty: bool = False) -> None:
    """Refuse what a strategy must not select.

    Args:
        may_be_empty: Whether no unit at all is a selection: the strategy says so, and there is
            something else to train.

    Raises:
        InvalidSelection: Saying which field of the selection is wrong and how.
    """
    problem = _problem(selection, num_units, may_be_empty)
    if problem is not None:
        raise InvalidSelection(f"The strategy selected something invalid: {problem}.")


def _problem(selection: object, num_units: int, may_be_empty: bool) -> str | None:
    if not isinstance(selection, Selection):
        return f"{selection!r} is no Selection"
    units = list(selection.units)
    if not all(_is_integer(unit) for unit in units):
        return f"units must be integers, got {units}"
    if not units and not may_be_empty:
        return "units is empty"
    if len(set(units)) < len(units):
        return f"units holds one unit twice: {units}"
    if units and (min(units) < 0 or max(units) >= num_units):
        return f"units must lie in 0..{num_units - 1}, got {units}"
    observed = list(selection.observe)
    if not all(_is_integer(unit) and 0 <= unit < num_units for unit in observed):
        return f"observe must be integers in 0..{num_units - 1}, got {observed}"
    if both := sorted(set(units).intersection(observed)):
        return f"observe names units that are selected: {both}"
    if len(set(observed)) < len(observed):
        return f"observe holds one unit twice: {observed}"
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
    for name in ("scores", "ages"):
        values = getattr(selection, name)
        if values is not None and len(values) != num_units:
            return f"there are {num_units} units, but {len(values)} {name}"
    return None


def _is_integer(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
