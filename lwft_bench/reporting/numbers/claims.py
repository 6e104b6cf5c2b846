"""What runs and plans say of claims."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lwft_bench.reporting.numbers.comparison import Comparison, Row, differences
from lwft_bench.reporting.numbers.deciding import Bounds, Needed, Verdict, chance, needed, verdict
from lwft_bench.reporting.numbers.families import holm
from lwft_bench.reporting.numbers.measurements import memories
from lwft_bench.reporting.numbers.statistics import (
    CONFIDENCE,
    PairedDifference,
    mean_over_seeds,
)
from lwft_bench.reporting.numbers.verdicts import between
from lwft_bench.reporting.read.plans import PlannedPeak
from lwft_bench.schema.claims import Claim, Side

_GB = 1e9


@dataclass(frozen=True)
class Assessed:
    """A claim with its verdict for one model and task.

    about: them, in words; "" where nothing has the cells. estimate, interval: of the claim's metric,
    in its unit; None where there is none. cells: ids of those that it rests on. why: in words, where
    the numbers do not say it. noisy: what was estimated and the bounds, on a scale on which noise adds
    up; None where there is no noise. adjusted: p after Holm's correction for all that are noisy.
    needed: of an undecided one, what would decide it.
    """

    claim: Claim
    about: str
    verdict: Verdict
    estimate: float | None = None
    interval: Bounds | None = None
    cells: tuple[str, ...] = ()
    why: str = ""
    noisy: tuple[PairedDifference, Bounds] | None = None
    adjusted: float | None = None
    needed: Needed | None = None


def assess(
    claims: Sequence[Claim], comparisons: Sequence[Comparison], plans: Sequence[PlannedPeak] = ()
) -> list[Assessed]:
    """Every claim: one verdict for each model and task that has the cells of both sides, or one that
    none has. All that noise could decide are one family.
    """
    found = [one for claim in claims for one in _assess(claim, comparisons, plans)]
    noisy = [one.noisy for one in found if one.noisy is not None]
    adjusted = iter(holm([chance(*one) for one in noisy]) if noisy else [])
    return [
        _corrected(one, one.noisy, next(adjusted), len(noisy)) if one.noisy is not None else one
        for one in found
    ]


def _corrected(
    one: Assessed, noisy: tuple[PairedDifference, Bounds], adjusted: float, family: int
) -> Assessed:
    """Undecided too where the correction leaves it so."""
    one = replace(one, adjusted=adjusted)
    if one.verdict != "undecided" and adjusted < 1 - CONFIDENCE:
        return one
    return replace(one, verdict="undecided", needed=needed(*noisy, family))


def _assess(
    claim: Claim, comparisons: Sequence[Comparison], plans: Sequence[PlannedPeak]
) -> Iterator[Assessed]:
    found = list(_measured(claim, comparisons)) if claim.evidence != "planned" else []
    decided = [one for one in found if one.estimate is not None or one.verdict != "undecided"]
    if claim.kind.startswith("memory") and claim.evidence != "measured" and not decided:
        found = [*_planned(claim, plans)] or found
    if found:
        yield from found
    else:
        yield Assessed(claim, "", "undecided", why=_lacking(claim, comparisons, plans))


def _lacking(claim: Claim, comparisons: Sequence[Comparison], plans: Sequence[PlannedPeak]) -> str:
    where = " on ".join(name for name in (claim.model, claim.task) if name)
    names = " and ".join(map(str, claim.sides))
    about = f" of {where}" if where else ""
    what = "run or plan" if claim.kind.startswith("memory") else "run"
    if not comparisons and not plans:
        return f"no {what} has {names}{about}"
    return f"none of these has done cells of {names}{about}"


def _measured(claim: Claim, comparisons: Sequence[Comparison]) -> Iterator[Assessed]:
    for one in comparisons:
        if claim.model in (None, one.model) and claim.task in (None, one.task):
            found = _rows(claim, one)
            if isinstance(found, str):
                about = f"{one.model} on {one.task}"
                yield Assessed(claim, about, "undecided", why=found)
            elif found:
                about = f"{one.model} on {one.task}"
                cells = tuple(cell.id for row in found for cell in row.done)
                yield replace(_METRICS[claim.kind](claim, one, found), about=about, cells=cells)


def _rows(claim: Claim, comparison: Comparison) -> list[Row] | str:
    """The rows of all sides; none if one has no done cell; or why they cannot be told."""
    found: list[Row] = []
    for side in claim.sides:
        rows = [row for row in comparison.rows if row.done and _matches(side, row)]
        if len(rows) > 1:
            labels = ", ".join(row.label for row in rows)
            return f"{side} is several rows ({labels}): say which by `ablation`"
        found += rows
    return found if len(found) == len(claim.sides) else []


def _matches(side: Side, row: Row) -> bool:
    return row.method == side.method and _holds(side.ablation, row.cells[0].ablation)


def _holds(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    return all(key in found and str(found[key]) == str(value) for key, value in wanted.items())


def _accuracy_difference(claim: Claim, comparison: Comparison, rows: Sequence[Row]) -> Assessed:
    one, other = rows
    paired = differences(one, other).get(claim.benchmark)
    if paired is None:
        what = "no seed or item in common" if _alike(comparison) else "not comparable"
        return _open(claim, f"{one.label} and {other.label}: {what}, or no score")
    return _by_interval(claim, paired, lambda share: 100 * share, 0.01)


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
    estimate = paired.estimate
    if paired.identical:
        interval: Bounds | None = (estimate.mean, estimate.mean)
    else:
        interval = paired.interval
    if interval is None:
        reason = "one seed" if not paired.over_seeds else "one item"
        assessed = _open(claim, f"{reason}: nothing is known of how others differ")
        return replace(assessed, estimate=shown(estimate.mean))
    low, high = bounds
    decided = verdict(interval, (low, high))
    return Assessed(
        claim,
        "",
        decided,
        shown(estimate.mean),
        (shown(interval[0]), shown(interval[1])),
        noisy=None if paired.identical else (paired, (low, high)),
    )


def _throughput_ratio(claim: Claim, comparison: Comparison, rows: Sequence[Row]) -> Assessed:
    one, other = (_speeds(row, claim.speed) for row in rows)
    seeds = sorted(one.keys() & other.keys())
    if not seeds:
        return _open(claim, "no seed of which both have a speed")
    if any("different numbers of threads" in warning for warning in comparison.warnings):
        return _open(claim, "measured with different numbers of threads")
    if not differences(rows[0], rows[1]):
        return _open(claim, "not comparable: see the warnings of the report")
    logs = mean_over_seeds([math.log(one[seed] / other[seed]) for seed in seeds])
    return _by_interval(claim, PairedDifference(logs), math.exp, to_scale=_log)


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


def _memory(claim: Claim, comparison: Comparison, rows: Sequence[Row]) -> Assessed:
    peaks = [[found.peak_bytes for found in memories(row)] for row in rows]
    if not all(peaks):
        return _open(claim, "no peak memory was recorded")
    ways = {found.method for row in rows for found in memories(row)}
    if len(ways) > 1:
        return _open(claim, f"peaks were obtained in different ways ({', '.join(sorted(ways))})")
    return replace(_by_peaks(claim, peaks), why=next(iter(ways)))


def _by_peaks(claim: Claim, peaks: Sequence[Sequence[float]]) -> Assessed:
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
    return Assessed(claim, "", verdict(interval, claim.bounds), estimate, interval)


def _planned(claim: Claim, plans: Sequence[PlannedPeak]) -> Iterator[Assessed]:
    """One verdict for each model and task that a plan has both sides of."""
    pairs = dict.fromkeys((one.model, one.task) for one in plans)
    for model, task in pairs:
        if claim.model not in (None, model) or claim.task not in (None, task):
            continue
        here = [one for one in plans if (one.model, one.task) == (model, task)]
        sides = [
            [
                one
                for one in here
                if one.method == side.method and _holds(side.ablation, one.ablation)
            ]
            for side in claim.sides
        ]
        if not all(sides):
            continue
        about, cells = f"{model} on {task}", tuple(one.cell for side in sides for one in side)
        several = [side for side in sides if len({str(one.ablation) for one in side}) > 1]
        if several:
            why = f"{several[0][0].method} has several values in the plan: say which by `ablation`"
            yield Assessed(claim, about, "undecided", cells=cells, why=why)
            continue
        found = _by_peaks(claim, [[one.peak_bytes for one in side] for side in sides])
        yield replace(found, about=about, cells=cells, why="planned")


def _rank(claim: Claim, comparison: Comparison, rows: Sequence[Row]) -> Assessed:
    """By which others are better or worse beyond noise, in one family of all pairs."""
    assert claim.at_most is not None
    own, *others = rows
    key = claim.benchmark
    if any(key not in row.accuracy for row in rows):
        return _open(claim, f"not all have a score of {key}")
    pairs = between(comparison, rows, key)
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
    return replace(found, needed=Needed(max(seeds), math.nan) if seeds else None)


def _equal_weights(claim: Claim, comparison: Comparison, rows: Sequence[Row]) -> Assessed:
    del comparison
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


_METRICS: Mapping[str, Callable[[Claim, Comparison, Sequence[Row]], Assessed]] = {
    "accuracy_difference": _accuracy_difference,
    "memory_ratio": _memory,
    "memory_difference": _memory,
    "memory": _memory,
    "throughput_ratio": _throughput_ratio,
    "rank": _rank,
    "equal_weights": _equal_weights,
}
