"""What a reader must not conclude from a run, found in what it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lwft_bench.reporting.numbers.comparison import Comparison
from lwft_bench.reporting.numbers.measurements import memories, trainings
from lwft_bench.reporting.read.tunings import ReportedTuning

_SMALL = 500_000_000
"""Parameters below which a model is told to be small."""


def cautions(
    comparisons: Sequence[Comparison], tunings: Sequence[ReportedTuning], memory: bool = True
) -> list[str]:
    """One sentence each: untuned settings, small models, few seeds, memory that no device told.

    Args:
        memory: whether any is shown.
    """
    compared = [one for one in comparisons if len(one.trained) > 1]
    if not compared:
        return []
    found = [*_tuning(compared, tunings), *_size(compared), *_seeds(compared)]
    return [*found, *_memory(compared)] if memory else found


def _tuning(comparisons: Sequence[Comparison], tunings: Sequence[ReportedTuning]) -> Iterator[str]:
    tuned = {(one.model, one.task, one.label) for one in tunings}
    trained = {
        (one.model, one.task, row.cells[0].label) for one in comparisons for row in one.trained
    }
    missing = list(dict.fromkeys(label for *_, label in sorted(trained - tuned)))
    if not tuned:
        yield "Not a ranking of methods: no learning rate or other setting was tuned in this run."
    elif missing:
        yield f"Not a ranking of methods: nothing was tuned of {', '.join(missing)}."


def _size(comparisons: Sequence[Comparison]) -> Iterator[str]:
    sizes = {
        one.model: min(
            (found.total_parameters for row in one.trained for found in trainings(row)), default=0
        )
        for one in comparisons
    }
    small = {model: size for model, size in sizes.items() if 0 < size < _SMALL}
    if small:
        largest = max(small.values()) / 1e6
        subject = "The model has" if len(small) == 1 else "The models have at most"
        yield f"{subject} {largest:,.1f} M parameters: nothing follows for larger ones."


def _seeds(comparisons: Sequence[Comparison]) -> Iterator[str]:
    if min(len(row.done) for one in comparisons for row in one.trained) < 2:
        yield "Of methods with one seed nothing can be said of how they differ."


def _memory(comparisons: Sequence[Comparison]) -> Iterator[str]:
    ways = {found.method for one in comparisons for row in one.trained for found in memories(row)}
    if ways == {"accounted"}:
        yield "Memory is counted, not read from a device: what a device needs is more."
