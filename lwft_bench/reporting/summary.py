"""The paragraph on top of a report: what the figures allow to be said, and what they do not."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from lwft_bench.reporting.numbers.comparison import Comparison, Row
from lwft_bench.reporting.numbers.measurements import peak_bytes, speed
from lwft_bench.reporting.read.records import RunRecords
from lwft_bench.reporting.render import formatting as show
from lwft_bench.schema.suite import AVERAGE

LEARNS_AT = 3.0
"""Standard errors above the untrained model from which a method is said to learn."""


def summary(records: RunRecords, comparisons: Sequence[Comparison]) -> str:
    """One paragraph over the whole run."""
    sentences = [_completeness(records)]
    for comparison in comparisons:
        prefix = f"{comparison.model} on {comparison.task}: " if len(comparisons) > 1 else ""
        sentences += [prefix + sentence for sentence in _about(comparison)]
    return " ".join(sentences)


def _completeness(records: RunRecords) -> str:
    counts = Counter(cell.status for cell in records.cells)
    done = counts.pop("done", 0)
    if not counts:
        return f"All cells are done ({done})."
    others = ", ".join(f"{number} {status}" for status, number in counts.items())
    return f"{done} of {len(records.cells)} cells are done ({others})."


def _about(comparison: Comparison) -> Iterator[str]:
    if not comparison.scored:
        yield "Nothing can be compared: no cell has scores."
        return
    yield from _against_baseline(comparison)
    yield from _against_untrained(comparison)
    yield from _cost(comparison)
    not_engaged = [
        row.label
        for row in comparison.rows
        if any(result.engagement and not result.engagement.passed for result in row.results)
    ]
    if not_engaged:
        yield (
            f"Engagement checks failed for {show.listing(not_engaged)}: their figures are not "
            "those of the method."
        )


def _against_baseline(comparison: Comparison) -> Iterator[str]:
    baseline = comparison.baseline
    rows = [row for row in comparison.scored if row.trains and AVERAGE in row.differences]
    if baseline is None or not rows:
        averages = [
            f"{row.label} {show.accuracy(row.accuracy[AVERAGE])}" for row in comparison.scored
        ]
        yield f"Average accuracy (%, no difference can be judged): {'; '.join(averages)}."
        return
    average = show.accuracy(baseline.accuracy[AVERAGE])
    clear = [row for row in rows if row.differences[AVERAGE].beyond_noise]
    unclear = [row for row in rows if row not in clear]
    yield (
        f"The baseline {baseline.label} reaches {average} % on the average of "
        f"{len(comparison.benchmarks)} benchmarks."
    )
    for word, sign in (("above", 1), ("below", -1)):
        there = [row for row in clear if sign * row.differences[AVERAGE].estimate.mean > 0]
        if there:
            yield f"Beyond noise {word} it (points [95 %]): {'; '.join(map(_shown, there))}."
    if unclear:
        yield (
            "Within noise of it, so that neither better nor worse can be claimed (points [95 %]): "
            f"{'; '.join(map(_shown, unclear))}."
        )
    if any(not row.differences[AVERAGE].over_seeds for row in rows):
        yield (
            "Where one seed only is shared, an interval covers the choice of items and not the "
            "choice of seed: another seed can give another order."
        )


def _shown(row: Row) -> str:
    return f"{row.label} {show.difference(row.differences[AVERAGE])}"


def _against_untrained(comparison: Comparison) -> Iterator[str]:
    untrained = comparison.untrained
    gains = {
        row.label: row.over_untrained
        for row in comparison.scored
        if row.over_untrained is not None and not math.isnan(row.over_untrained.stderrs)
    }
    if untrained is None or not gains:
        return
    start = show.accuracy(untrained.accuracy[AVERAGE])
    learning = {label: gain for label, gain in gains.items() if gain.stderrs >= LEARNS_AT}
    if learning:
        least = min(gain.stderrs for gain in learning.values())
        who = "every trained method" if len(learning) == len(gains) else show.listing([*learning])
        yield (
            f"Above the untrained model ({start} %) by {least:.1f} standard errors or more: {who}."
        )
    for label, gain in gains.items():
        if label not in learning:
            yield (
                f"{label} does not learn here: it differs from the untrained model ({start} %) by "
                f"{show.points(gain.estimate.mean)} points, {gain.stderrs:.1f} standard errors, "
                f"where {LEARNS_AT:.0f} are asked for."
            )


def _cost(comparison: Comparison) -> Iterator[str]:
    peaks = {row.label: peak for row in comparison.rows if (peak := peak_bytes(row)) is not None}
    if len(peaks) > 1:
        low, high = min(peaks, key=peaks.__getitem__), max(peaks, key=peaks.__getitem__)
        yield (
            f"Peak memory goes from {show.memory(peaks[low])} ({low}) to "
            f"{show.memory(peaks[high])} ({high})."
        )
    speeds = {row.label: rate for row in comparison.rows if (rate := speed(row)) is not None}
    if len(speeds) > 1:
        slow = min(speeds, key=lambda label: speeds[label].mean)
        fast = max(speeds, key=lambda label: speeds[label].mean)
        yield (
            f"Training runs at {speeds[slow].mean:,.0f} ({slow}) to {speeds[fast].mean:,.0f} "
            f"({fast}) target tokens/s."
        )
