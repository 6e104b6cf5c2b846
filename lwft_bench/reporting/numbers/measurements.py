"""What was measured besides accuracy, gathered over a row's seeds."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, stdev

from lwft_bench.reporting.numbers.comparison import Row
from lwft_bench.schema.result import Memory, Throughput, Training

DIFFERENT = 1.01
"""Ratio of two costs from which they are called different."""


@dataclass(frozen=True)
class Speed:
    """Target tokens per second: mean over seeds and spread.

    spread: standard deviation over seeds; with one seed, half the interquartile range of its steps.
    """

    mean: float
    spread: float
    num_seeds: int


def memories(row: Row) -> list[Memory]:
    return [result.memory for result in row.results if result.memory] if row.trains else []


def throughputs(row: Row) -> list[Throughput]:
    if not row.trains:
        return []
    return [result.throughput for result in row.results if result.throughput]


def trainings(row: Row) -> list[Training]:
    return [result.training for result in row.results if result.training] if row.trains else []


def peak_bytes(row: Row) -> int | None:
    """The largest peak over seeds: what the device must offer."""
    return max((found.peak_bytes for found in memories(row)), default=None)


def speed(row: Row) -> Speed | None:
    found = throughputs(row)
    if not found:
        return None
    rates = [one.target_tokens_per_second for one in found]
    if len(rates) > 1:
        return Speed(fmean(rates), stdev(rates), len(rates))
    first_quartile, third_quartile = found[0].step_seconds_iqr
    relative = (third_quartile - first_quartile) / (2 * found[0].step_seconds_median)
    return Speed(rates[0], rates[0] * relative, 1)


def mean_or_none(values: list[float | None]) -> float | None:
    """Mean of what was recorded; None if nothing was."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
