"""Columns of a paper's table that tell how fast methods train."""

from __future__ import annotations

import math
from collections.abc import Callable

from lwft_bench.reporting.numbers.estimates import Estimate
from lwft_bench.reporting.numbers.measurements import speed, whole_speed
from lwft_bench.reporting.numbers.rows import Row
from lwft_bench.reporting.numbers.statistics import mean_over_seeds
from lwft_bench.reporting.numbers.timing import TimedLine
from lwft_bench.reporting.paper.amounts import Amount
from lwft_bench.reporting.paper.lines import Line
from lwft_bench.schema.result import CellResult


def by_turns(line: Line) -> Amount | None:
    """Target tokens per second of steps that all methods made by turns; ± is over rounds."""
    timed = _timed(line)
    if timed is None:
        return None
    rates = timed.target_rates
    return Amount(timed.target_tokens_per_second, mean_over_seeds([*rates.values()]), rates)


def speed_ratio(line: Line) -> Amount | str | None:
    """Over the baseline's, of the same rounds; ± is over them."""
    timed = _timed(line)
    turns = line.measured.turns if line.measured else None
    if timed is None or turns is None or turns.baseline is None:
        return None
    if timed.label == turns.baseline:
        return "baseline"
    logs = mean_over_seeds([*(timed.log_rates - turns.lines[turns.baseline].log_rates)])
    ratio = math.exp(logs.mean)
    spread = Estimate(
        ratio, ratio * logs.stderr, 0.0, ratio * logs.stderr, logs.num_seeds, logs.num_items
    )
    return Amount(ratio, spread if logs.num_seeds > 1 else None)


def _timed(line: Line) -> TimedLine | None:
    if line.measured is None or line.measured.turns is None:
        return None
    return line.measured.turns.lines.get(line.measured.row.label)


def steady(line: Line) -> Amount | None:
    """Target tokens per second of a cell's own training steps."""
    return _own(line, speed, "target_tokens_per_second")


def end_to_end(line: Line) -> Amount | None:
    """Target tokens per second of all that a cell did while it trained."""
    return _own(line, whole_speed, "end_to_end_target_tokens_per_second")


def _own(line: Line, of_row: Callable[[Row], Estimate | None], key: str) -> Amount | None:
    if line.measured is None:
        return None
    row = line.measured.row
    estimate = of_row(row)
    if estimate is None:
        return None
    rates = {result.seed: getattr(result.throughput, key, None) for result in row.results}
    known = {seed: rate for seed, rate in rates.items() if rate is not None}
    return Amount(estimate.mean, estimate, known)


def training_time(line: Line) -> Amount | None:
    """Seconds of training, probing, measuring and switches."""
    if line.measured is None or not line.measured.row.trains:
        return None
    found = {result.seed: _seconds(result) for result in line.measured.row.results}
    known = {seed: seconds for seed, seconds in found.items() if seconds is not None}
    if not known:
        return None
    estimate = mean_over_seeds(list(known.values()))
    return Amount(estimate.mean, estimate, known)


def _seconds(result: CellResult) -> float | None:
    found = result.throughput
    if found is None:
        return None
    others = found.probing_seconds + found.measuring_seconds + found.switching_seconds
    return found.training_seconds + others
