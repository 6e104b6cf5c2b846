"""What was measured besides accuracy, gathered over a row's seeds."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from lwft_bench.reporting.numbers.comparability import comparable_cost
from lwft_bench.reporting.numbers.estimates import Estimate
from lwft_bench.reporting.numbers.rows import Row
from lwft_bench.reporting.numbers.statistics import mean_over_seeds
from lwft_bench.schema.result import Memory, Throughput, Training

DIFFERENT = 1.01
"""Ratio of two costs from which they are called different."""


def memories(row: Row) -> list[Memory]:
    """Of the row's cells that have one."""
    return [result.memory for result in row.results if result.memory] if row.trains else []


def throughputs(row: Row) -> list[Throughput]:
    """Of the row's cells that have one."""
    if not row.trains:
        return []
    return [result.throughput for result in row.results if result.throughput]


def trainings(row: Row) -> list[Training]:
    """Of the row's cells that have one."""
    return [result.training for result in row.results if result.training] if row.trains else []


def peak_bytes(row: Row) -> int | None:
    """The largest peak over seeds: what the device must offer."""
    return max((found.peak_bytes for found in memories(row)), default=None)


def unlike_memories(rows: Sequence[Row]) -> str:
    """Why the peaks of these rows cannot be compared; "" where they can."""
    ways = sorted({found.method for row in rows for found in memories(row)})
    if len(ways) > 1:
        return f"peaks were obtained in different ways ({', '.join(ways)})"
    first, *others = [row.done[0] for row in rows]
    if all(comparable_cost(first, other, ways != ["accounted"]) for other in others):
        return ""
    return "not comparable: they differ in data, model, version or device"


def speed(row: Row) -> Estimate | None:
    """Target tokens per second of training steps."""
    rates = [one.target_tokens_per_second for one in throughputs(row)]
    return mean_over_seeds(rates) if rates else None


def whole_speed(row: Row) -> Estimate | None:
    """The same end to end: of all that a method does while it trains.

    None where a cell did not record it.
    """
    rates = [one.end_to_end_target_tokens_per_second for one in throughputs(row)]
    known = [rate for rate in rates if rate is not None]
    return mean_over_seeds(known) if known and len(known) == len(rates) else None


def contention(row: Row) -> dict[str, str]:
    """What says that others had part of the machine while the row's cells trained, by cell."""
    if not row.trains:
        return {}
    return {
        result.cell: " and ".join(load.contention)
        for result in row.results
        if result.throughput and (load := result.throughput.load) and load.contention
    }


def is_disturbed(row: Row) -> bool:
    """Whether others had part of what any of the row's cells trained on."""
    shared = any(result.provenance.get("shared_device") for result in row.results)
    return row.trains and (shared or bool(contention(row)))


def mean_or_none(values: list[float | None]) -> float | None:
    """Mean of what was recorded; None if nothing was."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
