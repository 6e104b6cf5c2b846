"""The average of each method minus the baseline's: what can be said of it, and what it would take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import median

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.families import Judged
from lwft_bench.reporting.numbers.verdicts import against_baseline
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Column, Table, tabulate
from lwft_bench.reporting.tables.leading import about
from lwft_bench.reporting.tables.statistics_notes import beyond_noise_notes, interval_notes

_SEEDS = (
    "Detectable: the true difference that such an experiment finds in four of five cases. Seeds "
    "needed: to find one of the size seen, with the same items; 'more items' (or templates) where 1,000 "
    "are not enough."
)
_Line = tuple[str, Judged]


def build(context: Context) -> Table | None:
    """None without a baseline."""
    comparison = context.comparison
    found = against_baseline(comparison)
    if comparison.baseline is None or not found:
        return None
    return tabulate(
        context.name("differences"),
        context.title(
            f"average minus that of {comparison.baseline.label}, percentage points [95 %]"
        ),
        found.items(),
        [*about(context), *_COLUMNS],
        notes=[
            *interval_notes(one.paired for one in found.values()),
            *beyond_noise_notes(found),
            *_in_short(found),
        ],
    )


def _in_short(found: Mapping[str, Judged]) -> Iterator[str]:
    """What cannot be told in such an experiment, in a sentence."""
    sizes = [one.detectable for one in found.values() if one.detectable is not None]
    if not sizes:
        return
    yield _SEEDS
    seeds = show.spread([one.paired.estimate.num_seeds for one in found.values()], str)
    items = show.spread([one.paired.estimate.num_items for one in found.values()], str)
    yield (
        f"With {seeds} seeds and {items} items in all, a true difference under "
        f"{100 * min(sizes):.1f} points (of half of the rows: {100 * median(sizes):.1f}) is more "
        "likely to be missed than one time in five."
    )


_COLUMNS: list[Column[_Line]] = [
    Column("method", lambda line: line[0], plain="method"),
    Column(
        "difference [95 %]",
        lambda line: line[1],
        show.judged,
        {
            "difference": lambda one: one.paired.estimate.mean,
            "stderr": lambda one: one.paired.estimate.stderr,
            "item_stderr": lambda one: one.paired.estimate.item_stderr,
            "seed_stderr": lambda one: one.paired.estimate.seed_stderr,
            "degrees_of_freedom": lambda one: one.paired.estimate.degrees,
            "seeds": lambda one: one.paired.estimate.num_seeds,
            "items": lambda one: one.paired.estimate.num_items,
        },
    ),
    Column(None, lambda line: line[1].paired.low, plain="low"),
    Column(None, lambda line: line[1].paired.high, plain="high"),
    Column("p (Holm)", lambda line: line[1].adjusted, show.p_value, "p_holm"),
    Column(None, lambda line: line[1].beyond_noise, plain="beyond_noise"),
    Column("beyond noise", lambda line: line[1].verdict, plain="verdict", text=True),
    Column(
        "detectable",
        lambda line: line[1].detectable,
        lambda size: f"{100 * size:.1f}" if size <= 1 else "more than 100",
        "detectable",
    ),
    Column("seeds needed", lambda line: line[1].seeds_needed, show.seeds, "seeds_needed"),
]
