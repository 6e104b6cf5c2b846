"""In which order methods have their turns, and with which of their selections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Chosen:
    """Units that train together. observed: those that are measured beside them."""

    units: tuple[int, ...]
    observed: tuple[int, ...] = ()


def there_and_back(items: Sequence[_Item], pair: int) -> list[_Item]:
    """A B C, then C B A: what drifts meanwhile falls on all alike."""
    return list(items) if pair % 2 == 0 else list(items)[::-1]


def spread_over(weighted: Sequence[tuple[Chosen, int]], pairs: int, steps: int) -> list[Chosen]:
    """One selection for each of `pairs` times `steps` timed steps, from the lowest to the highest ones.

    The steps of a turn are of different strata, and every second one counts its stratum from above:
    so the mean of a turn is close to the mean of all, and turns are alike. In which pair a place within
    the strata comes is drawn with a fixed seed.

    Args:
        weighted: Selections with the steps that they trained for.
    """
    import numpy as np  # a process that runs suites never needs it

    ordered = sorted(weighted, key=lambda one: (min(one[0].units, default=-1), one[0].units))
    ends = np.cumsum([num_steps for _, num_steps in ordered])
    places = (np.random.default_rng(0).permutation(pairs) + 0.5) / pairs
    chosen = []
    for place in places:
        for stratum in range(steps):
            share = (stratum + (place if stratum % 2 == 0 else 1 - place)) / steps
            index = int(np.searchsorted(ends, share * ends[-1], side="right"))
            chosen.append(ordered[min(index, len(ordered) - 1)][0])
    return chosen
