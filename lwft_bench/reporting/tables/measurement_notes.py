"""How memory and speed were obtained, as the notes under a table say it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lwft_bench.reporting.numbers.comparability import hardware
from lwft_bench.reporting.numbers.comparison import Comparison
from lwft_bench.reporting.numbers.measurements import (
    contention,
    memories,
    throughputs,
    whole_speed,
)
from lwft_bench.reporting.numbers.timing import TimedComparison
from lwft_bench.reporting.render.formatting import CONTENDED, listing, memory, spread
from lwft_bench.schema.result import Memory

_END_TO_END = (
    " End to end: per second of all that the method does while it trains, with warm-up, probing, "
    "measuring and switches."
)
_OBTAINED = {
    "allocator": (
        "the peak of torch's caching allocator (allocated bytes), read on the device during the run"
    ),
    "accounted": (
        "accounted, not read from a device: the training step run on fake tensors, every storage "
        "counted as it lives and dies"
    ),
}


def memory_note(comparison: Comparison) -> str | None:
    """How, on what and how often peak memory was obtained, and how it spread."""
    by_row = {row.label: memories(row) for row in comparison.trained if memories(row)}
    if not by_row:
        return None
    methods: dict[str, list[str]] = {}
    for label, found in by_row.items():
        for method in dict.fromkeys(one.method for one in found):
            methods.setdefault(method, []).append(label)
    ways = [
        _OBTAINED[method] + (f" ({listing(labels)})" if len(methods) > 1 else "")
        for method, labels in methods.items()
    ]
    steadiness = _steadiness(by_row)
    nvml = any(one.process_bytes for found in by_row.values() for one in found)
    also = " NVML's figure for the process stands in the memory table." if nvml else ""
    remarks = dict.fromkeys(one.note for found in by_row.values() for one in found if one.note)
    note = (
        f"Peak memory: training only, {'; '.join(ways)}; the largest over seeds "
        f"({_cells(by_row)}); {steadiness}.{also}"
    )
    return " ".join([note, *(f"{remark.rstrip('.')}." for remark in remarks)])


def brief_memory_note(comparison: Comparison) -> str | None:
    """The same without what only whoever reads the table of memory needs."""
    by_row = {row.label: memories(row) for row in comparison.trained if memories(row)}
    if not by_row:
        return None
    if {one.method for found in by_row.values() for one in found} != {"accounted"}:
        return memory_note(comparison)
    return (
        "Peak memory: training only, accounted on fake tensors and not read from a device; the largest "
        f"over seeds ({_cells(by_row)}); {_steadiness(by_row)}. What is in it: see the memory."
    )


def _steadiness(by_row: Mapping[str, Sequence[Memory]]) -> str:
    several = [[one.peak_bytes for one in found] for found in by_row.values() if len(found) > 1]
    if not several:
        return "one run each, so no spread"
    if not any(max(peaks) - min(peaks) for peaks in several):
        return "the same for all seeds of a method"
    if all(max(peaks) < 1.001 * min(peaks) for peaks in several):
        return "the seeds of a method differ by less than 0.1 %"
    largest = max(max(peaks) - min(peaks) for peaks in several)
    return f"the seeds of a method differ by at most {memory(largest)}"


def speed_note(comparison: Comparison, found: TimedComparison | None = None) -> str | None:
    """On what and how often throughput was measured, what is left out and what the spread is."""
    by_row = {row.label: throughputs(row) for row in comparison.trained if throughputs(row)}
    if not by_row:
        return None
    every = [one for found in by_row.values() for one in found]
    threads = sorted({one.threads for one in every if one.threads})
    shared = [
        row.label
        for row in comparison.trained
        if any(result.provenance.get("shared_device") for result in row.results)
    ]
    not_alone = (
        f" Not comparable, since other cells computed on the same device meanwhile: {listing(shared)}."
        if shared
        else ""
    )
    shown_threads = f" ({spread(threads, str)} CPU threads)" if threads else ""
    counts = [one.num_steps_timed for one in every]
    steps = f"{spread(counts, str)} timed steps a cell"
    if 0 in counts:
        steps += ", and with 0 all of its steps, as none is left without those of warm-up"
    name = "Tokens/s, own cells" if found else "Tokens/s"
    tokens = "the same tokens" if found else "target tokens (those in the loss)"
    return (
        f"{name}: {tokens} per second of training on "
        f"{hardware_names(comparison)}{shown_threads}; {steps} "
        f"({_cells(by_row)}); without warm-up, probing, validation, evaluation and checkpoints."
        f"{_END_TO_END if any(map(whole_speed, comparison.trained)) else ''}{not_alone}"
    )


def turns_note(found: TimedComparison | None) -> str | None:
    """How methods were timed against each other; None where they were not."""
    if found is None:
        return None
    note = (
        "Tokens/s, by turns: target tokens (those in the loss) per second of training steps alone, "
        "which all methods made by turns in one process on the same batches. Which differ: see the "
        "speed, timed by turns."
    )
    if found.contention:
        note += f" Taken under contention: {listing(found.contention)}."
    return note


def contention_notes(comparison: Comparison) -> Iterator[str]:
    """Which cells' speeds were measured while others had part of the machine."""
    told: dict[str, str] = {}
    for row in comparison.trained:
        if found := contention(row):
            first = next(iter(found.values()))
            more = f", and {len(found) - 1} more cells" if len(found) > 1 else ""
            told[row.label] = f"{row.label} ({first}{more})"
    if told:
        yield (
            f"{CONTENDED.strip()} in the cells' own speeds: taken under contention, "
            f"{listing([*told.values()])}: they say little of which method is faster."
        )


def hardware_names(comparison: Comparison) -> str:
    """What the cells ran on, as a list in words."""
    names = {
        hardware(cell) or "hardware not recorded" for row in comparison.rows for cell in row.done
    }
    return listing(sorted(names))


def _cells(by_row: Mapping[str, Sequence[object]]) -> str:
    counts = [len(found) for found in by_row.values()]
    return f"{spread(counts, str)} cell{'' if max(counts) == 1 else 's'} a row"
