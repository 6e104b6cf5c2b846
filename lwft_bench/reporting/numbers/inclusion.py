"""How often a unit is drawn when units are drawn by weight: what selections are compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]

_SPACING = 0.2
_NEGLIGIBLE = 1e-15
"""A share of the largest probability, from which on a smaller one is taken for 0."""


def without_replacement(probabilities: _Floats, count: int) -> _Floats:
    """Each unit's probability to be among `count` drawn one after the other, each by its weight.

    Exact but for rounding. Drawing by weight without replacement is a race: unit j arrives after
    an exponential time of rate p_j, and the first `count` are drawn. So unit i, at time t, is among
    them if fewer than `count` of the others have arrived, of which each has with probability
    1 - exp(-p_j t); the integral over t is taken on a grid in log t, where the trapezoidal rule
    converges faster than any power of its spacing.

    Args:
        probabilities: [units], adding up to 1. A unit of probability 0 is drawn only when all
            others are, like any other of probability 0.
        count: units drawn, at most as many as there are.

    Returns:
        [units], adding up to `count`.
    """
    included = np.zeros(len(probabilities))
    positive = probabilities > _NEGLIGIBLE * probabilities.max()
    if count >= positive.sum():
        included[positive] = 1.0
        if not positive.all():
            included[~positive] = (count - positive.sum()) / (~positive).sum()
        return included
    weights = probabilities[positive] / probabilities.max()
    # When it begins next to nobody has arrived, when it ends everybody has.
    log_times = np.arange(-25.0, np.log(40 / weights.min()), _SPACING)
    rates = np.exp(log_times)[:, None] * weights
    here = -np.expm1(-rates)
    # [times, i, k]: probability that k of the units other than i have arrived.
    arrived = np.zeros((*here.shape, count))
    arrived[:, :, 0] = 1.0
    for other in range(len(weights)):
        share = np.repeat(here[:, other, None], len(weights), axis=1)
        share[:, other] = 0.0
        arrived[:, :, 1:] = arrived[:, :, 1:] * (1 - share[..., None]) + (
            arrived[:, :, :-1] * share[..., None]
        )
        arrived[:, :, 0] *= 1 - share
    density = rates * np.exp(-rates)
    included[positive] = (density * arrived.sum(axis=2)).sum(axis=0) * _SPACING
    return included


def with_replacement(probabilities: _Floats, count: int) -> _Floats:
    """Each unit's probability to be drawn at least once in `count` independent draws."""
    included: _Floats = 1 - (1 - probabilities) ** count
    return included


def effective_number(probabilities: _Floats) -> _Floats:
    """exp(H) along the last axis: as many units, all alike, have the same entropy H."""
    logarithms = np.log(np.where(probabilities > 0, probabilities, 1.0))
    number: _Floats = np.exp(-(probabilities * logarithms).sum(axis=-1))
    return number
