"""Which selections a plan runs: the dearest and the cheapest that may be drawn, and some between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from lwft_bench.plugins.registry import strategies
from lwft_bench.schema.method import MethodConfig
from lwft_bench.strategies.base import Needs, Unit
from lwft_bench.strategies.simulation import SimulatedTrainer, Simulation

NUM_SEEDS = 4
LONGEST_TRACE = 300
"""Selections of one simulated run; what a strategy does shows earlier."""

_Units = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PlannedSelections:
    """selections: those whose step is run. typical: those of them that the mean is taken over.
    visited: every unit that may have been trained by the end, at worst. observed: every unit that may
    be measured without being trained, which all are taken to be at once.
    """

    selections: tuple[_Units, ...]
    typical: tuple[_Units, ...]
    visited: _Units
    needs: Needs
    observed: _Units = ()


def planned_selections(
    method: MethodConfig,
    units: Sequence[Unit],
    steps: int,
    num_samples: int,
    total_parameters: int = 0,
) -> PlannedSelections:
    """Runs the method's strategy on simulated gradients and looks at what it selects.

    If selections overlap, any set of as many units is taken to be possible, whichever were seen.
    Then nothing needs more than the lowest unit (the backward pass goes all the way down) with the
    largest and highest others (their gradients are there while most activations still are), and
    nothing less than the highest ones.

    Args:
        num_samples: Typical selections; 0: the dearest ones alone.
        total_parameters: Of the whole model; 0: as many as the units have.
    """
    simulation = Simulation(
        strategies.get(method.strategy.name),
        strategies.options(method.strategy),
        len(units),
        total_steps=max(1, steps),
        units=tuple(units),
        total_parameters=total_parameters,
    )
    rows = [_rows(simulation, seed) for seed in range(NUM_SEEDS)]
    traces = [[tuple(sorted(row["units"])) for row in trace] for trace in rows]
    observed = {unit for trace in rows for row in trace for unit in row["observe"]}
    seen = sorted({chosen for trace in traces for chosen in trace})
    drawn = sorted({unit for chosen in seen for unit in chosen})
    if sum(map(len, seen)) == len(drawn):
        dearest, cheapest = [seen[0], max(seen, key=lambda chosen: _size(chosen, units))], seen[-1]
        num_visited = len(drawn)
    else:
        most, least = max(map(len, seen)), min(map(len, seen))
        by_size = sorted(drawn[1:], key=lambda unit: (units[unit].num_parameters, unit))
        if most == least:
            highest = by_size[len(by_size) - most + 1 :] if most > 1 else []
        else:  # a budget of parameters, not of units
            limit = max(_size(chosen, units) for chosen in seen)
            highest = _within(limit - _size(drawn[:1], units), by_size[::-1], units)
        dearest = [tuple(sorted([*drawn[:1], *highest]))]
        cheapest = tuple(drawn[len(drawn) - least :])
        # How many can have been visited depends on how often it is drawn; which ones, on nothing.
        num_visited = max(sum(map(len, dict.fromkeys(trace))) for trace in traces)
    every = sorted(chosen for trace in traces for chosen in trace)
    typical = [
        every[int((number + 0.5) / num_samples * len(every))] for number in range(num_samples)
    ]
    selections = dict.fromkeys([*dearest, cheapest, *typical] if typical else dearest)
    visited = dict.fromkeys([*(unit for chosen in selections for unit in chosen), *drawn])
    return PlannedSelections(
        tuple(selections),
        tuple(typical) or tuple(selections),
        tuple(visited)[:num_visited],
        strategies.build(method.strategy).needs,
        observed=tuple(sorted(observed)),
    )


def _rows(simulation: Simulation, seed: int) -> list[dict[str, Any]]:
    trainer = SimulatedTrainer(replace(simulation, seed=seed))
    for _ in trainer.run():
        if len(trainer.trace) >= LONGEST_TRACE:
            break
    return trainer.trace


def _within(limit: int, order: Sequence[int], units: Sequence[Unit]) -> list[int]:
    """Units in this order, each that still fits."""
    found = []
    for unit in order:
        if units[unit].num_parameters <= limit:
            found.append(unit)
            limit -= units[unit].num_parameters
    return found


def _size(chosen: Sequence[int], units: Sequence[Unit]) -> int:
    return sum(units[unit].num_parameters for unit in chosen)
