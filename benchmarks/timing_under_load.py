"""Whether ratios of speeds that are taken by turns survive other work on the machine.

    python benchmarks/timing_under_load.py [TRIALS]

Times fft, lora, lisa and grass of the default suite by turns and one after the other (as cells are),
first with nothing else on the machine, then with two processes beside it that compute for some seconds
and rest for as long. Prints each ratio to fft, how often the intervals of the idle and of the loaded
machine overlap, and how often the order was the same. To be run where nothing else runs.
"""

from __future__ import annotations

import math
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from lwft_bench.reporting.numbers.timing import Interval
from lwft_bench.suites.loading import Changes, load_suite
from lwft_bench.timing.method import MethodSteps, TimedStep
from lwft_bench.timing.turns import there_and_back

METHODS = ("fft", "lora", "lisa", "grass")
PAIRS, STEPS = 8, 2
PERIODS = (7.0, 11.0)
"""Seconds that each of the two other processes computes, and then rests."""
Rates = dict[str, np.ndarray]
"""Method -> logarithms of tokens per second, one a pair."""


def busy(seconds: float) -> None:
    while True:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            math.sqrt(2.0)
        time.sleep(seconds)


@contextmanager
def load(on: bool) -> Iterator[None]:
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=busy, args=(s,), daemon=True) for s in PERIODS if on]
    for other in others:
        other.start()
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.join()


def made() -> dict[str, MethodSteps]:
    suite = load_suite("arith", Changes(methods=METHODS, seeds=(0,)))
    found = {}
    for cell in suite.cells:
        steps = MethodSteps(cell, (), PAIRS, STEPS)
        steps.warm_up()
        found[cell.method.name] = steps
    return found


def turn(steps: MethodSteps, pair: int) -> float:
    rows = [steps.timed(TimedStep(pair, 0, step)) for step in range(STEPS)]
    return math.log(sum(row.tokens for row in rows) / sum(row.seconds for row in rows))


def by_turns(methods: dict[str, MethodSteps]) -> Rates:
    rates: dict[str, list[float]] = {name: [] for name in methods}
    for pair in range(PAIRS):
        for name in there_and_back(list(methods), pair):
            rates[name].append(turn(methods[name], pair))
    return {name: np.array(found) for name, found in rates.items()}


def one_after_the_other(methods: dict[str, MethodSteps]) -> Rates:
    return {
        name: np.array([turn(steps, pair) for pair in range(PAIRS)])
        for name, steps in methods.items()
    }


def ratios(rates: Rates) -> dict[str, Interval]:
    base = rates[METHODS[0]]
    return {name: Interval.over(found - base) for name, found in rates.items()}


def order(found: dict[str, Interval]) -> list[str]:
    return sorted(found, key=lambda name: found[name].mean)


def overlap(one: Interval, other: Interval) -> bool:
    assert None not in (one.low, one.high, other.low, other.high)
    return one.low <= other.high and other.low <= one.high  # type: ignore[operator]


def shown(found: dict[str, Interval]) -> str:
    return ", ".join(
        f"{name} {one.mean:.3f} [{one.low:.3f}, {one.high:.3f}]"
        for name, one in found.items()
        if name != METHODS[0]
    )


def main() -> None:
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    torch.set_num_threads(1)
    methods = made()
    ways: dict[str, Callable[[dict[str, MethodSteps]], Rates]] = {
        "by turns": by_turns,
        "one after the other": one_after_the_other,
    }
    counts: dict[str, Counter[str]] = {way: Counter() for way in ways}
    for trial in range(trials):
        for way, timed in ways.items():
            with load(False):
                idle = ratios(timed(methods))
            with load(True):
                loaded = ratios(timed(methods))
            others = [name for name in METHODS[1:]]
            counts[way]["ratios"] += len(others)
            counts[way]["intervals overlap"] += sum(
                overlap(idle[name], loaded[name]) for name in others
            )
            counts[way]["trials"] += 1
            counts[way]["same order"] += order(idle) == order(loaded)
            print(f"{trial} {way}, idle: {shown(idle)}")
            print(f"{trial} {way}, loaded: {shown(loaded)}", flush=True)
    for way, count in counts.items():
        print(
            f"{way}: {count['intervals overlap']} of {count['ratios']} ratios agree within their "
            f"intervals; the order is the same in {count['same order']} of {count['trials']} trials"
        )


if __name__ == "__main__":
    main()
