"""No strategy is another one renamed: same seed, same gradients, other selections."""

import itertools
from functools import cache
from typing import Any

import numpy as np
import pytest

from lwft_bench.plugins.registry import BUILT_IN, strategies
from lwft_bench.strategies.simulation import SimulatedTrainer, Simulation

NAMES = [name for name in strategies.names() if strategies.origin(name) == BUILT_IN]
ALIKE = {"num_active": 2, "period": 20}
"""Set wherever there is such an option, so that it is not by these that strategies differ."""


def scripted(rng: np.random.Generator, num_steps: int, num_units: int) -> np.ndarray:
    """Gradients that change much from one window to the next."""
    return rng.lognormal(sigma=2, size=(1, num_units)) * np.ones((num_steps, 1))


def trained(name: str, **options: Any) -> tuple[frozenset[int], ...]:
    """The units that train at each step."""
    cls = strategies.get(name)
    common = {key: value for key, value in ALIKE.items() if key in cls.Options.model_fields}
    simulation = Simulation(cls, cls.Options(**(common | options)), gradients=scripted)
    rows = SimulatedTrainer(simulation).finish()
    per_step = [frozenset(row["units"]) for row in rows for _ in range(row["num_steps"])]
    return tuple(per_step[: simulation.total_steps])


by_default = cache(trained)


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(NAMES, 2)))
def test_selections_differ(one, other):
    assert by_default(one) != by_default(other)


EVERY_UNIT = {"num_active": 10}
REFRESHED = {"refresh": 40, "alpha": 0.7}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # Without the moving average GRASS is static.
        (("grass", {"alpha": 0}), ("grass-static", {})),
        # tau -> 0: the largest always train.
        (("grass", REFRESHED | {"temperature": 1e-300}), ("greedy", REFRESHED)),
        # They differ in what happens to state, not in whom they train.
        (("lift", {"order": "random"}), ("badam", {"order": "random"})),
        (("lift", {"order": "front-to-end"}), ("badam", {"order": "ascending"})),
        # gamma = N: everything is always drawn.
        *(
            ((name, EVERY_UNIT), ("all", {}))
            for name in ("lisa", "lisa-d", "grass", "greedy", "fixed")
        ),
        # pi of everything is everything.
        (("permuted", {"inner": {"name": "lisa"} | EVERY_UNIT}), ("all", {})),
    ],
)
def test_they_are_the_same_where_theory_says_so(one, other):
    assert trained(one[0], **one[1]) == trained(other[0], **other[1])
