"""Paired differences to the baseline, benchmark by benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.families import Judged
from lwft_bench.reporting.numbers.verdicts import Pair, by_benchmark
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Column, Table, plain_values, tabulate
from lwft_bench.reporting.tables.leading import about
from lwft_bench.reporting.tables.statistics_notes import beyond_noise_notes, interval_notes

_Line = tuple[Pair, Judged]


def build(context: Context) -> Table | None:
    """None without a baseline."""
    comparison = context.comparison
    found = by_benchmark(comparison)
    if comparison.baseline is None or not found:
        return None
    return tabulate(
        context.name("by_benchmark"),
        context.title(
            f"differences to {comparison.baseline.label} by benchmark, percentage points [95 %]"
        ),
        dict.fromkeys(label for label, _ in found),
        [
            Column("method", str),
            *(
                Column(name, partial(_of, found, name), show.judged)
                for name in comparison.benchmarks
            ),
        ],
        notes=[
            *interval_notes(one.paired for one in found.values()),
            *beyond_noise_notes(found),
        ],
        values=plain_values(found.items(), [*about(context), *_LONG]),
    )


def _of(found: Mapping[Pair, Judged], benchmark: str, label: str) -> Judged | None:
    return found.get((label, benchmark))


_LONG: list[Column[_Line]] = [
    Column(None, lambda line: line[0][0], plain="method"),
    Column(None, lambda line: line[0][1], plain="benchmark"),
    Column(None, lambda line: line[1].paired.estimate.mean, plain="difference"),
    Column(None, lambda line: line[1].paired.low, plain="low"),
    Column(None, lambda line: line[1].paired.high, plain="high"),
    Column(None, lambda line: line[1].paired.estimate.stderr, plain="stderr"),
    Column(None, lambda line: line[1].paired.estimate.item_stderr, plain="item_stderr"),
    Column(None, lambda line: line[1].paired.estimate.num_seeds, plain="seeds"),
    Column(None, lambda line: line[1].paired.estimate.num_items, plain="items"),
    Column(None, lambda line: line[1].adjusted, plain="p_holm"),
    Column(None, lambda line: line[1].verdict, plain="beyond_noise"),
]
