"""For authors of strategies: `check_strategy` runs a strategy through all the trainer will ask of it.

from lwft_bench.testing import check_strategy

def test_my_strategy():
    assert [outcome for outcome in check_strategy(MyStrategy) if not outcome.passed] == []
"""

from __future__ import annotations

import json
import random
import signal
import statistics
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from pydantic import ValidationError

from lwft_bench.plugins.registry import strategies
from lwft_bench.schema.errors import UserError
from lwft_bench.strategies.base import Needs, Strategy, StrategyOptions
from lwft_bench.strategies.selections import InvalidSelection
from lwft_bench.strategies.simulation import SimulatedTrainer, Simulation, ordinary_gradients

MAX_CALL_SECONDS = 0.02
"""What `select` and `observe` may take, in the median, with 100 units."""
MAX_CHECK_SECONDS = 4.0
"""What one check may take: all of them together end within a minute, whatever the strategy does."""


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """One check's verdict; `detail` says what was seen."""

    name: str
    passed: bool
    detail: str


def check_strategy(
    strategy: type[Strategy] | str, options: Mapping[str, Any] | StrategyOptions | None = None
) -> list[CheckOutcome]:
    """Run every check on a strategy, on a simulated trainer: no model, no torch, under a second.

    Args:
        strategy: The class, or the name it is registered by.
        options: The options to check it with; None: its defaults.

    Raises:
        UserError: If there is no strategy of that name.
        pydantic.ValidationError: If the options are not the strategy's.
    """
    cls: type[Strategy] = strategies.get(strategy) if isinstance(strategy, str) else strategy
    if not isinstance(options, StrategyOptions):
        options = cls.Options.model_validate(options or {})
    simulation = Simulation(cls, options)
    return [_outcome(name, check, simulation) for name, check in CHECKS.items()]


def _outcome(name: str, check: Callable[[Simulation], str], simulation: Simulation) -> CheckOutcome:
    try:
        with _time_limit(MAX_CHECK_SECONDS):
            return CheckOutcome(name, True, check(simulation))
    except _Failed as failure:
        return CheckOutcome(name, False, str(failure))
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        source = getattr(sys.modules[simulation.strategy.__module__], "__file__", None)
        last = [frame for frame in frames if frame.filename == source][-1:] or frames[-1:]
        where = f"{last[0].filename}:{last[0].lineno}"
        return CheckOutcome(name, False, f"{type(error).__name__}: {error} ({where})")


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raises TimeoutError inside when the time is up. Signals reach the main thread only: in another
    one there is no limit."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"not done after {seconds:g} s")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    timer_before = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer_before)
        signal.signal(signal.SIGALRM, before)


class _Failed(Exception):
    """The strategy does not pass the check; the message says how."""


def _refuses_unknown_options(simulation: Simulation) -> str:
    given = simulation.options.model_dump() | {"no_such_option": 1}
    try:
        simulation.strategy.Options(**given)
    except ValidationError:
        return "unknown options are refused"
    raise _Failed("Options takes unknown keys: derive it from StrategyOptions")


def _states_its_needs(simulation: Simulation) -> str:
    before = simulation.strategy(simulation.options).needs
    trainer = SimulatedTrainer(simulation)
    trainer.finish()
    if not isinstance(before, Needs) or before.probing_steps < 0:
        raise _Failed(f"needs is {before!r}")
    if before.gradients not in ("selected", "all"):
        raise _Failed(f"needs.gradients must be 'selected' or 'all', got {before.gradients!r}")
    if trainer.strategy.needs != before:
        raise _Failed(f"needs changed from {before} to {trainer.strategy.needs} during the run")
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
        raise _Failed(f"varies is {varies}, but {len(selected)} different selections were made")
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
            raise _Failed(f"two runs with seed {seed} differ: draw from context.rng only")
    return "the same selections twice, for each of two seeds"


def _leaves_other_streams_alone(simulation: Simulation) -> str:
    before = _global_streams()
    SimulatedTrainer(simulation).finish()
    disturbed = [name for name, state in _global_streams().items() if state != before[name]]
    if disturbed:
        raise _Failed(f"the run drew from {', '.join(disturbed)}: draw from context.rng only")
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
            raise _Failed(
                f"load_state_dict({checkpoint['strategy']}) leaves a state_dict() of {restored}"
            )
        if json.dumps(resumed.finish()) != json.dumps(undisturbed.trace[num_selections:]):
            raise _Failed(
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
            raise _Failed(f"{call} takes {seconds:.3f} s with 100 units, over {MAX_CALL_SECONDS} s")
    return f"select and observe each take less than {MAX_CALL_SECONDS} s with 100 units"


def _median_call_seconds(trainer: SimulatedTrainer) -> tuple[float, float]:
    """Of `select` and of `observe`, by turns the calls between two pauses of a run."""
    times = []
    for _ in trainer.run():
        times.append(time.perf_counter())
    times.append(time.perf_counter())
    durations = [after - before for before, after in pairwise(times)]
    return statistics.median(durations[::2]), statistics.median(durations[1::2])


CHECKS: dict[str, Callable[[Simulation], str]] = {
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
