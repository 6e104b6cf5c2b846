"""Steps of several settings by turns, so that clocks and heat are the same for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import mean, median, stdev

import torch

from benchmarks.device.setting import Row, release
from lwft_bench.memory.meters import synchronised_clock
from lwft_bench.reporting.numbers.estimates import CONFIDENCE
from lwft_bench.reporting.numbers.student import student_quantile
from lwft_bench.schema.cell import Cell
from lwft_bench.selftest.steps import Shape, Steps

WARM_UP_STEPS = 3
"""State is touched for the first time, kernels are chosen, the order of updates is learnt."""


@dataclass(slots=True)
class Turns:
    """What each turn of a setting took."""

    seconds: list[float] = field(default_factory=list)
    """A step's, one number a turn."""

    @property
    def median(self) -> float:
        return median(self.seconds)


def trainer(cell: Cell, device: str, units: Sequence[int]) -> Steps:
    """The cell's model, with random weights, and what trains it on random tokens."""
    config = cell.model.config
    assert config is not None
    shape = Shape(
        layers=config["num_hidden_layers"],
        vocabulary=config["vocab_size"],
        rows=cell.training.batch_size,
        length=cell.training.max_length,
    )
    steps = Steps(cell, shape, torch.device(device))
    steps.select(units)
    return steps


def timed(step: Callable[[int], object], num_steps: int, device: str) -> float:
    """Seconds of one step."""
    start = synchronised_clock(torch.device(device))
    step(num_steps)
    return (synchronised_clock(torch.device(device)) - start) / num_steps


def by_turns(
    train: dict[str, Callable[[int], object]], turns: int, num_steps: int, device: str
) -> dict[str, Turns]:
    """All of them are on the device at once. Each second round goes the other way."""
    found = {name: Turns() for name in train}
    for run in train.values():
        run(WARM_UP_STEPS)
    for turn in range(turns):
        for name in _there_and_back(train, turn):
            found[name].seconds.append(timed(train[name], num_steps, device))
    return found


def one_at_a_time(
    make: dict[str, Callable[[], Steps]],
    turns: int,
    num_steps: int,
    device: str,
    go_on: Callable[[], bool],
) -> tuple[dict[str, Turns], dict[str, str]]:
    """For what does not fit at once: each is made anew in every turn. Second: what went wrong."""
    found: dict[str, Turns] = {}
    wrong: dict[str, str] = {}
    for turn in range(turns):
        for name in _there_and_back(make, turn):
            if name in wrong or not go_on():
                continue
            try:
                steps = make[name]()
                steps.train(WARM_UP_STEPS)
                seconds = timed(steps.train, num_steps, device)
                found.setdefault(name, Turns()).seconds.append(seconds)
            except (RuntimeError, ValueError) as error:
                wrong[name] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            steps = None  # type: ignore[assignment]
            release(device)
    return found, wrong


def _there_and_back(names: Iterable[str], turn: int) -> list[str]:
    return list(names) if turn % 2 == 0 else list(names)[::-1]


def ratio(first: Turns, second: Turns) -> Row:
    """First over second, paired by turn: the geometric mean, and Student's 95 % interval if there
    are turns enough for one to mean something."""
    logs = [math.log(a / b) for a, b in zip(first.seconds, second.seconds, strict=False)]
    row: Row = {"ratio": math.exp(mean(logs))}
    if len(logs) > 2:
        margin = student_quantile(CONFIDENCE, len(logs) - 1) * stdev(logs) / math.sqrt(len(logs))
        low, high = (math.exp(mean(logs) + sign * margin) for sign in (-1, 1))
        row |= {"low_ratio": low, "high_ratio": high}
    return row
