"""What ±, intervals and marks mean: the same words under every table that has them.

Short, since they stand under many; docs/statistics.md says the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lwft_bench.reporting.numbers.estimates import Estimate, PairedDifference
from lwft_bench.reporting.numbers.families import Judged
from lwft_bench.reporting.render.formatting import listing

STANDARD_ERROR = (
    "±: one standard error. Accuracy: over items (or their templates) and seeds; with one seed, and for "
    "an untrained model, over items alone. Speed and loss: over seeds."
)
_INTERVAL = (
    "95 % intervals: of each difference alone, for new items and new seeds (Student's, paired by item "
    "and seed)."
)
_ONE_SEED = "With one seed nothing is known of how seeds differ: no interval and no verdict."
_BEYOND_NOISE = (
    "Beyond noise (*): p below 5 % after Holm's correction for the {} comparisons of this table, and no "
    "0 in the interval. A table of more comparisons asks for more of each."
)


def interval_notes(found: Iterable[PairedDifference]) -> Iterator[str]:
    """Of the intervals that there are, and why there is none."""
    taken = list(found)
    if any(one.over_seeds for one in taken):
        yield _INTERVAL
    if any(not one.over_seeds for one in taken):
        yield _ONE_SEED


def beyond_noise_notes(found: Mapping[Any, Judged]) -> Iterator[str]:
    """Of the stars that a family may have; none where nothing of it can be judged."""
    if found and family(found):
        yield _BEYOND_NOISE.format(family(found))


def family(found: Mapping[Any, Judged]) -> int:
    """Comparisons that are corrected for together."""
    return max(one.family for one in found.values())


def no_spread_notes(estimates: Iterable[Estimate]) -> Iterator[str]:
    """Where ± 0.0 stands though other items would differ."""
    if any(one.stderr == 0.0 and one.mean in (0.0, 1.0) for one in estimates):
        yield (
            "± 0.0 is no certainty: where no item or every item is solved, the 95 % bound is about 3 "
            "divided by the number of items (of templates, where items are made from them)."
        )


def left_out(labels: Sequence[str]) -> Iterator[str]:
    """Of tables whose rows are all compared with each other."""
    if labels:
        yield f"Left out, since they cannot be compared (see the warnings): {listing(labels)}."
