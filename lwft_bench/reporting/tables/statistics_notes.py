"""What ±, intervals and marks mean: the same words under every table that has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lwft_bench.reporting.render.formatting import listing

STANDARD_ERROR = (
    "±: one standard error of the mean, of accuracy, speed and loss alike. Accuracy: over items and "
    "seeds (crossed: variance of item means plus variance of seed means, their shared residual taken "
    "once; items made from one template or about one passage are one cluster); with one seed, and "
    "for an untrained model, over items only. Speed and loss: over seeds; with one seed there is none."
)
INTERVAL = (
    "95 % interval of each difference alone, for new items and new seeds: Student's on the standard "
    "error over items and seeds of the paired differences, with Satterthwaite's degrees of freedom. "
    "With one seed nothing is known of how seeds differ, so there is no interval and no verdict."
)
BEYOND_NOISE = (
    "Beyond noise (*): p below 5 % after Holm's correction for the {} comparisons of this table, so "
    "that any of its marks is false in at most 5 of 100 such tables; the variance over seeds is the "
    "larger of the pair's own and of that of all methods. A table of more comparisons asks for more of "
    "each, so two tables can differ in what they mark."
)


def left_out(labels: Sequence[str]) -> Iterator[str]:
    """Of tables whose rows are all compared with each other."""
    if labels:
        yield f"Left out, since they cannot be compared (see the warnings): {listing(labels)}."
