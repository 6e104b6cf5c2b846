"""The paragraph on top of a report: what the figures allow to be said, and what they do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from lwft_bench.reporting.numbers.comparison import Comparison
from lwft_bench.reporting.numbers.families import Judged
from lwft_bench.reporting.numbers.measurements import contention, peak_bytes, speed, unlike_memories
from lwft_bench.reporting.numbers.timing import TimedComparison, timed
from lwft_bench.reporting.numbers.verdicts import against_baseline, against_untrained
from lwft_bench.reporting.read.records import RunRecords
from lwft_bench.reporting.render import formatting as show
from lwft_bench.schema.suite import AVERAGE


def summary(records: RunRecords, comparisons: Sequence[Comparison]) -> str:
    """One paragraph over the whole run."""
    sentences = [_completeness(records)]
    for comparison in comparisons:
        prefix = f"{comparison.model} on {comparison.task}: " if len(comparisons) > 1 else ""
        sentences += [prefix + sentence for sentence in _about(records, comparison)]
    return " ".join(sentences)


def _completeness(records: RunRecords) -> str:
    counts = Counter(cell.status for cell in records.cells)
    done = counts.pop("done", 0)
    if not counts:
        return f"All cells are done ({done})."
    others = ", ".join(f"{number} {status}" for status, number in counts.items())
    return f"{done} of {len(records.cells)} cells are done ({others})."


def _about(records: RunRecords, comparison: Comparison) -> Iterator[str]:
    if not comparison.scored:
        yield "Nothing can be compared: no cell has scores."
        return
    yield from _against_baseline(comparison)
    yield from _against_untrained(comparison)
    yield from _peaks(comparison)
    yield from _speeds(comparison, timed(comparison, records.timing))
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
    trains = {row.label for row in comparison.rows if row.trains}
    judged = {label: one for label, one in against_baseline(comparison).items() if label in trains}
    if baseline is None or not judged:
        averages = [
            f"{row.label} {show.accuracy(row.accuracy[AVERAGE])}" for row in comparison.scored
        ]
        yield f"Average accuracy (%, no difference can be judged): {'; '.join(averages)}."
        return
    average = show.accuracy(baseline.accuracy[AVERAGE])
    yield (
        f"The baseline {baseline.label} reaches {average} % on the average of "
        f"{len(comparison.benchmarks)} benchmarks."
    )
    for word, sign in (("above", 1), ("below", -1)):
        there = {
            label: one
            for label, one in judged.items()
            if one.beyond_noise and sign * one.paired.estimate.mean > 0
        }
        if there:
            yield f"Beyond noise {word} it (points [95 %]): {_listed(there)}."
    unclear = {label: one for label, one in judged.items() if one.verdict == "no"}
    if unclear:
        yield (
            "Within noise of it, so that neither better nor worse can be claimed (points [95 %]): "
            f"{_listed(unclear)}."
        )
        sizes = [one.detectable for one in unclear.values() if one.detectable is not None]
        if sizes and min(sizes) < 1:
            yield (
                f"Of these, a true difference under {100 * min(sizes):.1f} points would be missed "
                "more often than one time in five."
            )
    identical = [label for label, one in judged.items() if one.verdict == "identical"]
    if identical:
        yield f"The same weights as it, and so the same answers: {show.listing(identical)}."
    for few, other in (("one seed", "another"), ("one item", "others")):
        undecided = {x: one for x, one in judged.items() if one.verdict == f"undecided: {few}"}
        if undecided:
            yield (
                f"Undecided, for {few} is shared and {other} can give another order (points): "
                f"{_listed(undecided)}."
            )


def _listed(judged: Mapping[str, Judged]) -> str:
    return "; ".join(f"{label} {show.difference(one.paired)}" for label, one in judged.items())


def _against_untrained(comparison: Comparison) -> Iterator[str]:
    untrained = comparison.untrained
    gains = against_untrained(comparison)
    if untrained is None or untrained is comparison.baseline or not gains:
        return
    start = show.accuracy(untrained.accuracy[AVERAGE])
    learning = {
        label: gain
        for label, gain in gains.items()
        if gain.beyond_noise and gain.paired.estimate.mean > 0
    }
    if learning:
        yield (
            f"Above the untrained model ({start} %) beyond noise (points [95 %]): "
            f"{_listed(learning)}."
        )
    others = {label: gain for label, gain in gains.items() if label not in learning}
    if others:
        yield (
            f"That they learn cannot be said, compared with the untrained model ({start} %): "
            f"{_listed(others)}."
        )


def _peaks(comparison: Comparison) -> Iterator[str]:
    rows = [row for row in comparison.rows if peak_bytes(row) is not None]
    peaks = {row.label: peak for row in rows if (peak := peak_bytes(row)) is not None}
    if len(peaks) < 2 or unlike_memories(rows):
        return
    if show.memory(min(peaks.values())) == show.memory(max(peaks.values())):
        yield f"Peak memory is {show.memory(max(peaks.values()))} for all."
    else:
        low, high = min(peaks, key=peaks.__getitem__), max(peaks, key=peaks.__getitem__)
        yield (
            f"Peak memory goes from {show.memory(peaks[low])} ({low}) to "
            f"{show.memory(peaks[high])} ({high})."
        )


def _speeds(comparison: Comparison, found: TimedComparison | None) -> Iterator[str]:
    """By turns where methods were timed so, and then without an order that the pairs do not tell."""
    if found is not None and len(found.lines) > 1:
        yield from _speeds_by_turns(found)
        return
    speeds = {row.label: rate for row in comparison.rows if (rate := speed(row)) is not None}
    if len(speeds) > 1:
        slow = min(speeds, key=lambda label: speeds[label].mean)
        fast = max(speeds, key=lambda label: speeds[label].mean)
        yield (
            f"Training runs at {show.speed(speeds[slow])} ({slow}) to "
            f"{show.speed(speeds[fast])} ({fast}) target tokens/s (± one standard error)."
        )
        contended = [row.label for row in comparison.rows if contention(row)]
        if contended:
            yield (
                f"Speeds of {show.listing(contended)} were taken under contention: no order of methods "
                "can be told from them; `lwft-bench time` times methods by turns."
            )


def _speeds_by_turns(found: TimedComparison) -> Iterator[str]:
    lines = sorted(found.lines.values(), key=lambda line: line.target_tokens_per_second)
    slow, fast = lines[0], lines[-1]
    yield (
        f"Timed by turns, training steps run at {slow.target_tokens_per_second:,.0f} ({slow.label}) to "
        f"{fast.target_tokens_per_second:,.0f} ({fast.label}) target tokens/s."
    )
    ratios = found.ratios
    kinds = {
        "Faster than": [x for x, ratio in ratios.items() if ratio.excludes_one and ratio.mean > 1],
        "Slower than": [x for x, ratio in ratios.items() if ratio.excludes_one and ratio.mean < 1],
        "Neither faster nor slower than": [x for x, r in ratios.items() if not r.excludes_one],
    }
    for kind, labels in kinds.items():
        if labels:
            listed = "; ".join(f"{label} {show.ratio(ratios[label])}" for label in labels)
            yield f"{kind} {found.baseline} (ratio [95 %]): {listed}."
    if found.contention:
        yield f"These speeds were taken under contention ({show.listing(found.contention)})."
