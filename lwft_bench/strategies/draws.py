"""Drawing units by weight."""

from __future__ import annotations

import numpy as np

from lwft_bench.schema.errors import UserError


def draw_without_replacement(
    rng: np.random.Generator, log_weights: np.ndarray, count: int
) -> tuple[int, ...]:
    """Draw `count` distinct indices by weight; returns them in ascending order.

    Gumbel top-k: the `count` largest of `log_weights` plus independent standard Gumbel noise are
    distributed exactly like sequential draws in which each takes one index with probability
    proportional to its weight among those left (Yellott 1977; Kool et al. 2019, arXiv 1903.06059).
    So the inclusion probability of an index is not `count` times its share of the weights.

    Working on logarithms keeps the draw exact where the weights underflow. A log weight of -inf
    (weight zero) is drawn only after all others, uniformly among its like; hence `count` may be as
    large as the number of weights whatever they are.

    Args:
        log_weights: one per index, up to a common constant; -inf allowed, NaN and +inf not.
    """
    assert not np.isnan(log_weights).any() and not np.isposinf(log_weights).any()
    assert count <= len(log_weights)
    noise = rng.gumbel(size=len(log_weights))
    # The noise as second key orders the -inf ones; finite sums do not tie.
    descending = np.lexsort((-noise, -(log_weights + noise)))
    return tuple(sorted(int(index) for index in descending[:count]))


def draw_with_replacement(
    rng: np.random.Generator, log_weights: np.ndarray, count: int
) -> tuple[int, ...]:
    """Draw `count` times independently by weight; the distinct indices drawn, in ascending order.

    Each draw is the largest of `log_weights` plus independent standard Gumbel noise.

    Args:
        log_weights: one per index, up to a common constant; -inf allowed but not for all, NaN and
            +inf not.
    """
    assert not np.isnan(log_weights).any() and not np.isposinf(log_weights).any()
    assert np.isfinite(log_weights).any()
    drawn = (log_weights + rng.gumbel(size=(count, len(log_weights)))).argmax(axis=1)
    return tuple(np.unique(drawn).tolist())


def require_enough_units(num_active: int, num_units: int) -> None:
    """Refuse to draw more units than the model has, rather than train fewer than was asked for."""
    if num_active > num_units:
        raise UserError(
            f"strategy.num_active is {num_active}, but this model has {num_units} "
            f"unit{'s' if num_units > 1 else ''} to choose among.",
            hint=f"Set strategy.num_active to at most {num_units}.",
        )
