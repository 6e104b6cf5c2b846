"""The trainer as a strategy sees it, without a model: numbers in place of gradients.

It calls a strategy in the order and with the values that the real trainer does, so that strategies
can be checked in milliseconds.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lwft_bench.plugins.options import PluginOptions
from lwft_bench.strategies.base import (
    Context,
    Needs,
    Selection,
    Strategy,
    Unit,
    Window,
)
from lwft_bench.strategies.selections import validate_selection

GradientSource = Callable[[np.random.Generator, int, int], np.ndarray]
"""(rng, steps, units) -> root mean squares of gradients, [steps, units]."""


def ordinary_gradients(rng: np.random.Generator, num_steps: int, num_units: int) -> np.ndarray:
    """Of the size and spread seen in language models: some 1e-5, log-normal by unit and step."""
    profile = np.exp(np.sin(np.arange(num_units)))
    return 1e-5 * profile * rng.lognormal(sigma=0.3, size=(num_steps, num_units))


@dataclass(frozen=True)
class Simulation:
    """What does not change in the course of a run."""

    strategy: type[Strategy]
    options: PluginOptions
    num_units: int = 10
    total_steps: int = 400
    seed: int = 0
    gradients: GradientSource = ordinary_gradients
    units: tuple[Unit, ...] | None = None
    """`num_units` of them; None: layers that are all alike."""
    total_parameters: int = 0
    """Of the whole model; 0: as many as the units have."""


class SimulatedTrainer:
    """One run of a strategy. `trace` grows by one row a selection.

    Args:
        saved: From `save`, to go on where that was called.
    """

    def __init__(self, simulation: Simulation, saved: dict[str, Any] | None = None) -> None:
        self.simulation = simulation
        self.trace: list[dict[str, Any]] = []
        self._step = 0 if saved is None else int(saved["step"])
        self._selection: Selection | None = None if saved is None else saved["selection"]
        self._rng = np.random.default_rng(simulation.seed)
        self._batches_measured = 0
        self.strategy = simulation.strategy(simulation.options)
        self.needs: Needs = self.strategy.needs
        context = Context(
            units=simulation.units
            or tuple(Unit(i, "layer", i, 1000) for i in range(simulation.num_units)),
            total_steps=simulation.total_steps,
            steps_per_epoch=max(1, simulation.total_steps // 2),
            rng=self._rng,
            total_parameters=simulation.total_parameters,
        )
        if self.needs.measure:
            context.measure = self._measure
        self.strategy.start(context)
        if saved is None:
            self._probe()
        else:
            self._rng.bit_generator.state = copy.deepcopy(saved["rng"])
            self._batches_measured = int(saved["batches_measured"])
            self.strategy.load_state_dict(decode(saved["strategy"]))

    def run(self) -> Iterator[None]:
        """Train to the end; pauses before each call of `select` and of `observe`."""
        while self._step < self.simulation.total_steps:
            if self._selection is None:
                yield
                self._select()
            yield
            self._observe()

    def finish(self) -> list[dict[str, Any]]:
        """Run to the end; the trace."""
        for _ in self.run():
            pass
        return self.trace

    def save(self) -> dict[str, Any]:
        """A checkpoint: nothing in it is shared with the running trainer."""
        return {
            "step": self._step,
            "selection": copy.deepcopy(self._selection),
            "rng": copy.deepcopy(self._rng.bit_generator.state),
            "batches_measured": self._batches_measured,
            "strategy": encode(self.strategy.state_dict()),
        }

    def _probe(self) -> None:
        steps = self.needs.probing_steps
        if steps > 0:
            every_unit = range(self.simulation.num_units)
            self.strategy.observe(self._window(-steps, steps, every_unit, probing=True))

    def _select(self) -> None:
        selection = self.strategy.select(self._step)
        validate_selection(
            selection, self.simulation.num_units, may_be_empty=self.strategy.may_be_empty
        )
        self._selection = selection
        row = {"step": self._step, "units": [int(unit) for unit in selection.units]}
        row |= {"num_steps": int(selection.num_steps), "starts_sweep": selection.starts_sweep}
        row |= {"observe": [int(unit) for unit in selection.observe], "restart": selection.restart}
        for name in ("probabilities", "scores", "ages"):
            values = getattr(selection, name)
            row[name] = None if values is None else [float(value) for value in values]
        self.trace.append(row)

    def _observe(self) -> None:
        assert self._selection is not None
        steps = min(int(self._selection.num_steps), self.simulation.total_steps - self._step)
        all_units = range(self.simulation.num_units)
        observed = (*self._selection.units, *self._selection.observe)
        seen = all_units if self.needs.gradients == "all" else observed
        window = self._window(self._step, steps, seen)
        self._step += steps
        self._selection = None
        self.strategy.observe(window)

    def _window(
        self, first_step: int, num_steps: int, seen: Any, *, probing: bool = False
    ) -> Window:
        """Numbers that depend on seed and step only, so that a resumed run sees the same."""
        rng = np.random.default_rng([self.simulation.seed, 1, 2**32 + first_step])
        readings = self.simulation.gradients(rng, num_steps, self.simulation.num_units)
        grad_rms = np.full_like(readings, np.nan)
        columns = list(seen)
        grad_rms[:, columns] = readings[:, columns]
        loss = rng.lognormal(size=num_steps)
        for array in (grad_rms, loss):
            array.flags.writeable = False
        return Window(first_step=first_step, grad_rms=grad_rms, loss=loss, probing=probing)

    def _measure(self, statistic: str, **options: Any) -> np.ndarray:
        """Positive numbers that move with the steps, as every statistic of the weights does."""
        self.needs.require(statistic)
        if statistic == "suppressed_loss":
            return self._suppressed_loss(**options)
        if statistic == "outlier_share":
            self._batches_measured += options["batches"]
        elif statistic not in ("weight_norm", "weight_rms", "snr"):
            raise ValueError(f"unknown statistic {statistic!r}")
        rng = np.random.default_rng([self.simulation.seed, 2, *statistic.encode()])
        at_start, drift = (rng.lognormal(size=self.simulation.num_units) for _ in range(2))
        return at_start + 1e-3 * self._step * drift

    def _suppressed_loss(self, units: Sequence[Collection[int]], beta: float) -> np.ndarray:
        """A loss that grows with each unit suppressed, on each batch by other amounts."""
        self._batches_measured += 1
        rng = np.random.default_rng([self.simulation.seed, 3, self._batches_measured])
        worth = 1e-2 * rng.lognormal(size=self.simulation.num_units)
        return np.array([1 + (1 - beta) * worth[sorted(suppressed)].sum() for suppressed in units])


def encode(state: dict[str, Any]) -> str:
    """A strategy's state as a checkpoint could hold it: JSON, with arrays spelt out exactly."""
    return json.dumps(state, default=_encode_array)


def decode(state: str) -> dict[str, Any]:
    """The inverse of `encode`."""
    decoded: dict[str, Any] = json.loads(state, object_hook=_decode_array)
    return decoded


def _encode_array(value: object) -> dict[str, Any]:
    if not isinstance(value, np.ndarray):
        raise TypeError(f"state_dict() holds {value!r}, neither JSON-able nor a numpy array")
    return {"__dtype__": value.dtype.str, "shape": value.shape, "values": value.ravel().tolist()}


def _decode_array(value: dict[str, Any]) -> Any:
    if "__dtype__" not in value:
        return value
    return np.array(value["values"], dtype=value["__dtype__"]).reshape(value["shape"])
