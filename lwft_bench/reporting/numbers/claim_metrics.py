"""What the cells of one model and task say of a claim, metric by metric."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from lwft_bench.reporting.numbers.comparison import Comparison
from lwft_bench.reporting.numbers.deciding import Bounds, Verdict, WouldDecide, verdict_of
from lwft_bench.reporting.numbers.estimates import PairedDifference
from lwft_bench.reporting.numbers.families import Judged
from lwft_bench.reporting.numbers.measurements import contention, memories, unlike_memories
from lwft_bench.reporting.numbers.rows import Row, differences
from lwft_bench.reporting.numbers.statistics import mean_over_seeds
from lwft_bench.reporting.numbers.timing import TimedComparison
from lwft_bench.reporting.numbers.verdicts import Pair, between
from lwft_bench.schema.claims import Claim

_GB = 1e9


@dataclass(frozen=True)
class Assessed:
    """A claim with its verdict for one model and task.

    about: them, in words; "" where nothing has the cells. estimate, interval: of the claim's metric,
    in its unit; None where there is none. cells: ids of those that it rests on; rounds: that they
    were timed in by turns. why: in words, where the numbers do not say it. contended: what says that
    the machine had other work. noisy: what was estimated and the bounds, on a scale on which noise adds
    up; None where there is no noise. adjusted: p after Holm's correction for all that are noisy.
    needed: of an undecided one, what would decide it.
    """

    claim: Claim
    about: str
    verdict: Verdict
    estimate: float | None = None
    interval: Bounds | None = None
    cells: tuple[str, ...] = ()
    rounds: int = 0
    why: str = ""
    contended: str = ""
    noisy: tuple[PairedDifference, Bounds] | None = None
    adjusted: float | None = None
    needed: WouldDecide | None = None


@dataclass(frozen=True)
class RowsMeasured:
    """The rows of one model and task. turns: how they were timed against each other, if they were."""

    comparison: Comparison
    turns: TimedComparison | None = None


def _accuracy_difference(claim: Claim, measured: RowsMeasured, rows: Sequence[Row]) -> Assessed:
    one, other = rows
    paired = differences(one, other).get(claim.benchmark)
    if paired is None:
        what = "no seed or item in common" if _alike(measured.comparison) else "not comparable"
        return _open(claim, f"{one.label} and {other.label}: {what}, or no score")
    found = _by_interval(claim, paired, lambda share: 100 * share, 0.01)
    seeds = [{cell.seed for cell in row.done} for row in rows if row.trains]
    return replace(found, cells=_with(rows, sorted(set.intersection(*seeds)) if seeds else []))


def _alike(comparison: Comparison) -> bool:
    return not any("no difference is taken" in warning for warning in comparison.warnings)


def _by_interval(
    claim: Claim,
    paired: PairedDifference,
    shown: Callable[[float], float],
    unit: float = 1.0,
    to_scale: Callable[[float], float] | None = None,
) -> Assessed:
    """By the interval of a paired difference.

    Args:
        shown: of what is on the difference's scale, in the claim's unit.
        unit: of the claim's bounds on the difference's scale, where these are proportional.
        to_scale: of a bound, where they are not.
    """
    bounds = [(to_scale or (lambda bound: unit * bound))(bound) for bound in claim.bounds]
    estimate, interval = paired.estimate, paired.interval
    if interval is None:
        reason = "one seed" if not paired.over_seeds else "one item"
        assessed = _open(claim, f"{reason}: nothing is known of how others differ")
        return replace(assessed, estimate=shown(estimate.mean))
    low, high = bounds
    decided = verdict_of(interval, (low, high))
    return Assessed(
        claim,
        "",
        decided,
        shown(estimate.mean),
        (shown(interval[0]), shown(interval[1])),
        noisy=None if paired.identical else (paired, (low, high)),
    )


def _throughput_ratio(claim: Claim, measured: RowsMeasured, rows: Sequence[Row]) -> Assessed:
    if claim.speed == "by_turns":
        return _by_turns(claim, measured.turns, rows)
    one, other = (_speeds(row, claim.speed) for row in rows)
    seeds = sorted(one.keys() & other.keys())
    if not seeds:
        return _open(claim, "no seed of which both have a speed")
    if any("different numbers of threads" in warning for warning in measured.comparison.warnings):
        return _open(claim, "measured with different numbers of threads")
    if not differences(rows[0], rows[1]):
        return _open(claim, "not comparable: see the warnings of the report")
    logs = mean_over_seeds([math.log(one[seed] / other[seed]) for seed in seeds])
    found = _by_interval(claim, PairedDifference(logs), math.exp, to_scale=_log)
    told = [
        f"{row.label} {next(iter(cells.values()))}" for row in rows if (cells := contention(row))
    ]
    return replace(found, cells=_with(rows, seeds), contended=", ".join(told))


def _by_turns(claim: Claim, turns: TimedComparison | None, rows: Sequence[Row]) -> Assessed:
    one, other = (turns.lines.get(row.label) if turns else None for row in rows)
    if turns is None or one is None or other is None:
        why = "not timed against each other: `lwft-bench time`, or `speed: end_to_end`"
        return _open(claim, why)
    logs = mean_over_seeds(list(one.log_rates - other.log_rates))
    found = _by_interval(claim, PairedDifference(logs), math.exp, to_scale=_log)
    if found.interval is None:
        found = replace(found, why="one round: nothing is known of how others differ")
    return replace(
        found,
        cells=(one.cell.cell, other.cell.cell),
        rounds=logs.num_seeds,
        contended=", ".join(turns.contention),
    )


def _with(rows: Sequence[Row], seeds: Sequence[int]) -> tuple[str, ...]:
    """Cells that a comparison over these seeds rests on."""
    return tuple(
        cell.id for row in rows for cell in row.done if not row.trains or cell.seed in seeds
    )


def _log(bound: float) -> float:
    return math.log(bound) if bound > 0 else -math.inf


def _speeds(row: Row, speed: str) -> dict[int, float]:
    key = "end_to_end_target_tokens_per_second" if speed == "end_to_end" else ""
    found = {
        result.seed: getattr(result.throughput, key or "target_tokens_per_second")
        for result in row.results
        if result.throughput is not None and row.trains
    }
    return {seed: rate for seed, rate in found.items() if rate}


def _memory(claim: Claim, measured: RowsMeasured, rows: Sequence[Row]) -> Assessed:
    peaks = [[found.peak_bytes for found in memories(row)] for row in rows]
    if not all(peaks):
        return _open(claim, "no peak memory was recorded")
    if unlike := unlike_memories(rows):
        return _open(claim, unlike)
    return replace(by_peaks(claim, peaks), why=memories(rows[0])[0].method)


def by_peaks(claim: Claim, peaks: Sequence[Sequence[float]]) -> Assessed:
    """By the largest peaks of each side; peaks have no noise, only what seeds differ in."""
    ends = [(min(found), max(found)) for found in peaks]
    if claim.kind == "memory":
        ((low, high),) = ends
        estimate, interval = high / _GB, (low / _GB, high / _GB)
    else:
        (low, high), (other_low, other_high) = ends
        if claim.kind == "memory_ratio":
            estimate, interval = high / other_high, (low / other_high, high / other_low)
        else:
            estimate = (high - other_high) / _GB
            interval = ((low - other_high) / _GB, (high - other_low) / _GB)
    return Assessed(claim, "", verdict_of(interval, claim.bounds), estimate, interval)


def _rank(claim: Claim, measured: RowsMeasured, rows: Sequence[Row]) -> Assessed:
    """By which others are better or worse beyond noise, in one family of all pairs."""
    assert claim.at_most is not None
    own, *others = rows
    key = claim.benchmark
    if any(key not in row.accuracy for row in rows):
        return _open(claim, f"not all have a score of {key}")
    pairs = between(measured.comparison, rows, key)
    judged = [
        pairs[own.label, other.label] for other in others if (own.label, other.label) in pairs
    ]
    better = sum(one.beyond_noise and one.paired.estimate.mean < 0 for one in judged)
    worse = sum(one.beyond_noise and one.paired.estimate.mean > 0 for one in judged)
    place = 1 + sum(row.accuracy[key].mean > own.accuracy[key].mean for row in others)
    best, last = 1 + better, 1 + len(others) - worse
    found = Assessed(claim, "", "undecided", float(place), (float(best), float(last)))
    if last <= claim.at_most:
        return replace(found, verdict="supported")
    if best > claim.at_most:
        return replace(found, verdict="contradicted")
    seeds = [one.seeds_needed for one in judged if one.seeds_needed is not None]
    if seeds:
        return replace(found, needed=WouldDecide(max(seeds), math.nan))
    return replace(found, why=_why_no_order(own, others, pairs))


def _why_no_order(own: Row, others: Sequence[Row], pairs: Mapping[Pair, Judged]) -> str:
    """Of a place that more seeds would not tell, or of which it is not known."""
    apart = [one.label for one in others if (own.label, one.label) not in pairs]
    if apart:
        return f"not comparable with {', '.join(apart)}"
    known = {pairs[own.label, one.label].verdict: one.label for one in others}
    few = [verdict.partition(": ")[2] for verdict in known if verdict.startswith("undecided")]
    if few:
        return f"{few[0]}: nothing is known of how others differ"
    return f"the same weights as {known['identical']}" if "identical" in known else ""


def _equal_weights(claim: Claim, measured: RowsMeasured, rows: Sequence[Row]) -> Assessed:
    del measured
    one, other = (
        {result.seed: result.weights_digest for result in row.results if result.weights_digest}
        for row in rows
    )
    seeds = sorted(one.keys() & other.keys())
    if not seeds:
        return _open(claim, "no seed of which both have a digest of their weights")
    unlike = [seed for seed in seeds if one[seed] != other[seed]]
    shown = ", ".join(map(str, unlike or seeds))
    why = f"{'different' if unlike else 'the same'} weights with seed {shown}"
    return Assessed(claim, "", "contradicted" if unlike else "supported", why=why)


def _open(claim: Claim, why: str) -> Assessed:
    return Assessed(claim, "", "undecided", why=why)


METRICS: Mapping[str, Callable[[Claim, RowsMeasured, Sequence[Row]], Assessed]] = {
    "accuracy_difference": _accuracy_difference,
    "memory_ratio": _memory,
    "memory_difference": _memory,
    "memory": _memory,
    "throughput_ratio": _throughput_ratio,
    "rank": _rank,
    "equal_weights": _equal_weights,
}
