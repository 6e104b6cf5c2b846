"""What is checked of a strategy, on a simulated trainer: no model, no torch."""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from pydantic import ValidationError

from lwft_bench.schema.errors import UserError
from lwft_bench.strategies.base import Needs
from lwft_bench.strategies.selections import InvalidSelection
from lwft_bench.strategies.simulation import SimulatedTrainer, Simulation, ordinary_gradients
from lwft_bench.testing.outcomes import CheckFailed

MAX_CALL_SECONDS = 0.02
"""What `select` and `observe` may take, in the median, with 100 units."""


def _refuses_unknown_options(simulation: Simulation) -> str:
    given = simulation.options.model_dump() | {"no_such_option": 1}
    try:
        simulation.strategy.Options(**given)
    except ValidationError:
        return "unknown options are refused"
    raise CheckFailed("Options takes unknown keys: derive it from PluginOptions")


def _states_its_needs(simulation: Simulation) -> str:
    before = simulation.strategy(simulation.options).needs
    trainer = SimulatedTrainer(simulation)
    trainer.finish()
    if not isinstance(before, Needs) or before.probing_steps < 0:
        raise CheckFailed(f"needs is {before!r}")
    if before.gradients not in ("selected", "all"):
        raise CheckFailed(f"needs.gradients must be 'selected' or 'all', got {before.gradients!r}")
    if trainer.strategy.needs != before:
        raise CheckFailed(f"needs changed from {before} to {trainer.strategy.needs} during the run")
    return str(before)


def _varies_as_it_says(simulation: Simulation) -> str:
    """A run that says it varies, and selects some units only, must not always train the same."""
    trainer = SimulatedTrainer(simulation)
    trace = trainer.finish()
    selected = {tuple(sorted(row["units"])) for row in trace}
    varies = trainer.strategy.varies
    if varies is None:
        return f"varies by what it observes: {len(selected)} different selections"
    could_vary = len(trace) > 1 and min(map(len, selected)) < simulation.num_units
    if (varies and could_vary) != (len(selected) > 1):
        raise CheckFailed(f"varies is {varies}, but {len(selected)} different selections were made")
    return f"varies is {varies}: {len(selected)} different selections"


def _selects_validly(simulation: Simulation, **changes: Any) -> str:
    trace = SimulatedTrainer(replace(simulation, **changes)).finish()
    return f"{len(trace)} valid selections"


def _handles_one_unit(simulation: Simulation) -> str:
    try:
        return _selects_validly(simulation, num_units=1)
    except InvalidSelection:
        raise
    except (UserError, ValueError) as refusal:
        return f"refused: {str(refusal).splitlines()[0]}"


def _is_deterministic(simulation: Simulation) -> str:
    for seed in (0, 1):
        seeded = replace(simulation, seed=seed)
        first, second = (SimulatedTrainer(seeded).finish() for _ in range(2))
        if json.dumps(first) != json.dumps(second):
            raise CheckFailed(f"two runs with seed {seed} differ: draw from context.rng only")
    return "the same selections twice, for each of two seeds"


def _leaves_other_streams_alone(simulation: Simulation) -> str:
    before = _global_streams()
    SimulatedTrainer(simulation).finish()
    disturbed = [name for name, state in _global_streams().items() if state != before[name]]
    if disturbed:
        raise CheckFailed(f"the run drew from {', '.join(disturbed)}: draw from context.rng only")
    return "numpy's global stream and Python's are where they were"


def _global_streams() -> dict[str, Any]:
    _, keys, position, has_gauss, cached = np.random.get_state()
    numpy_state = (np.asarray(keys).tobytes(), position, has_gauss, cached)
    return {"numpy.random": numpy_state, "random": random.getstate()}


def _saves_and_restores(simulation: Simulation) -> str:
    """Interrupted before and after selections, at the start, the end and in between."""
    undisturbed = SimulatedTrainer(simulation)
    saved = [(undisturbed.save(), len(undisturbed.trace)) for _ in undisturbed.run()]
    chosen = sorted(set(np.linspace(0, len(saved) - 1, num=9).astype(int).tolist()))
    for checkpoint, num_selections in (saved[i] for i in chosen):
        resumed = SimulatedTrainer(simulation, checkpoint)
        restored = resumed.save()["strategy"]
        if restored != checkpoint["strategy"]:
            raise CheckFailed(
                f"load_state_dict({checkpoint['strategy']}) leaves a state_dict() of {restored}"
            )
        if json.dumps(resumed.finish()) != json.dumps(undisturbed.trace[num_selections:]):
            raise CheckFailed(
                f"interrupted at step {checkpoint['step']} and restored, the run selects "
                "otherwise: something it goes by is not in state_dict()"
            )
    return f"{len(chosen)} interruptions leave no trace"


def _extreme_gradients(rng: np.random.Generator, num_steps: int, num_units: int) -> np.ndarray:
    return rng.choice([0.0, 1e-300, 1e-5, 1e300, np.inf], size=(num_steps, num_units))


def _nan_gradients(rng: np.random.Generator, num_steps: int, num_units: int) -> np.ndarray:
    """Half of the units never have a gradient, the others now and then."""
    readings = ordinary_gradients(rng, num_steps, num_units)
    readings[rng.random(readings.shape) < 0.5] = np.nan
    readings[:, ::2] = np.nan
    return readings


def _constant_gradients(
    value: float, rng: np.random.Generator, num_steps: int, num_units: int
) -> np.ndarray:
    return np.full((num_steps, num_units), value)


def _survives_extreme_gradients(simulation: Simulation) -> str:
    for source in (_extreme_gradients, partial(_constant_gradients, 0.0)):
        _selects_validly(simulation, gradients=source)
    return "valid selections when gradients vanish and overflow"


def _survives_nan_gradients(simulation: Simulation) -> str:
    for source in (_nan_gradients, partial(_constant_gradients, np.nan)):
        _selects_validly(simulation, gradients=source)
    return "valid selections when some units, or all, have no gradient"


def _is_quick(simulation: Simulation) -> str:
    wide = replace(simulation, num_units=100)
    # The best of three runs: another process may have had the core.
    runs = [_median_call_seconds(SimulatedTrainer(wide)) for _ in range(3)]
    for call, seconds in zip(("select", "observe"), np.min(runs, axis=0), strict=True):
        if seconds > MAX_CALL_SECONDS:
            raise CheckFailed(
                f"{call} takes {seconds:.3f} s with 100 units, over {MAX_CALL_SECONDS} s"
            )
    return f"select and observe each take less than {MAX_CALL_SECONDS} s with 100 units"


def _median_call_seconds(trainer: SimulatedTrainer) -> tuple[float, float]:
    """Of `select` and of `observe`, by turns the calls between two pauses of a run."""
    times = []
    for _ in trainer.run():
        times.append(time.perf_counter())
    times.append(time.perf_counter())
    durations = [after - before for before, after in pairwise(times)]
    return statistics.median(durations[::2]), statistics.median(durations[1::2])


STRATEGY_CHECKS: dict[str, Callable[[Simulation], str]] = {
    "refuses unknown options": _refuses_unknown_options,
    "states its needs": _states_its_needs,
    "varies as it says": _varies_as_it_says,
    "selects validly": _selects_validly,
    "selects validly in one step": partial(_selects_validly, total_steps=1),
    "selects validly among one unit": _handles_one_unit,
    "selects validly among 100 units": partial(_selects_validly, num_units=100),
    "is deterministic": _is_deterministic,
    "leaves other random streams alone": _leaves_other_streams_alone,
    "saves and restores exactly": _saves_and_restores,
    "survives extreme gradients": _survives_extreme_gradients,
    "survives missing gradients": _survives_nan_gradients,
    "is quick": _is_quick,
}
