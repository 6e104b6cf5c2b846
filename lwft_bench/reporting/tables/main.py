"""The comparison table: accuracy with its uncertainty, memory, speed, parameters, status."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from lwft_bench.reporting.numbers.comparison import Comparison, Row
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.measurements import peak_bytes, speed, trainings
from lwft_bench.reporting.numbers.statistics import Estimate
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Column, Table, tabulate
from lwft_bench.reporting.tables.leading import about
from lwft_bench.reporting.tables.measurement_notes import memory_note, speed_note
from lwft_bench.schema.result import Training
from lwft_bench.schema.suite import AVERAGE

_UNCERTAINTY = (
    "average: over benchmarks, unweighted. ± is one standard error over items and seeds (crossed: "
    "variance of item means plus variance of seed means, their shared residual taken once); with "
    "one seed, and for an untrained model, over items only."
)


def build(context: Context) -> Table:
    """Accuracy, difference to the baseline, memory, speed, parameters, seeds and status."""
    return tabulate(
        context.name("main"),
        context.title("accuracy (%), memory and speed"),
        context.comparison.rows,
        [*about(context), *_columns(context.comparison)],
        notes=_notes(context.comparison),
    )


def _columns(comparison: Comparison) -> list[Column[Row]]:
    return [
        Column("method", lambda row: row.label, plain="method"),
        *(_accuracy(key) for key in (*comparison.benchmarks, AVERAGE)),
        _difference(comparison),
        Column("peak memory", peak_bytes, show.memory, "peak_memory_bytes"),
        Column(
            "tokens/s",
            speed,
            show.speed,
            {
                "target_tokens_per_second": lambda rate: rate.mean,
                "target_tokens_per_second_spread": lambda rate: rate.spread,
            },
        ),
        Column(
            "trained / active parameters",
            lambda row: trainings(row) or None,
            _parameters,
            {
                "trained_parameters": lambda found: max(one.trained_parameters for one in found),
                "active_parameters_mean": lambda found: max(
                    one.active_parameters_mean for one in found
                ),
            },
        ),
        Column("seeds", lambda row: f"{len(row.done)} of {len(row.cells)}" if row.trains else None),
        Column(None, lambda row: len(row.done), plain="seeds_done"),
        Column(None, lambda row: len(row.cells), plain="seeds_planned"),
        Column("status", lambda row: row.status, plain="status", text=True),
    ]


def _accuracy(key: str) -> Column[Row]:
    return Column(
        key,
        partial(_estimate, key),
        show.accuracy,
        {key: lambda estimate: estimate.mean, f"{key}_stderr": lambda estimate: estimate.stderr},
    )


def _estimate(key: str, row: Row) -> Estimate | None:
    return row.accuracy.get(key)


def _difference(comparison: Comparison) -> Column[Row]:
    """For programs only where no difference can be taken."""
    baseline = comparison.baseline
    taken = any(AVERAGE in row.differences for row in comparison.rows)
    return Column(
        f"average − {baseline.label} [95 %]" if baseline and taken else None,
        lambda row: "baseline" if row is baseline else row.differences.get(AVERAGE),
        lambda paired: paired if isinstance(paired, str) else show.difference(paired),
        {
            "difference": lambda paired: None if paired == "baseline" else paired.estimate.mean,
            "difference_low": lambda paired: None if paired == "baseline" else paired.low,
            "difference_high": lambda paired: None if paired == "baseline" else paired.high,
        },
    )


def _parameters(found: list[Training]) -> str:
    trained = show.spread([one.trained_parameters for one in found], show.count)
    active = show.spread([one.active_parameters_mean for one in found], show.count)
    return f"{trained} / {active}"


def _notes(comparison: Comparison) -> Iterator[str]:
    scored = comparison.scored
    if not scored:
        return
    items = [
        [row.accuracy[name].num_items for row in scored if name in row.accuracy]
        for name in comparison.benchmarks
    ]
    sizes = show.spread([number for numbers in items for number in numbers], str)
    obtained = f"percent of {sizes} items a benchmark, mean over seeds, counted from the samples"
    yield f"Accuracy: {obtained}; {_UNCERTAINTY}"
    if any(
        estimate.stderr == 0 and estimate.mean in (0, 1)
        for row in scored
        for estimate in row.accuracy.values()
    ):
        yield (
            "Where no item or every item is solved the formula gives ± 0.0; the 95 % bound is then "
            "about 3 divided by the number of items."
        )
    yield from _difference_note(comparison)
    for note in (memory_note(comparison), speed_note(comparison)):
        if note:
            yield note
    if comparison.trained:
        yield "Parameters: those that received at least one update / mean over steps of those updated."


def _difference_note(comparison: Comparison) -> Iterator[str]:
    paired = {
        row.label: row.differences[AVERAGE]
        for row in comparison.scored
        if AVERAGE in row.differences
    }
    if not (comparison.baseline and paired):
        return
    single = [label for label, one in paired.items() if not one.over_seeds]
    only = (
        f" One shared seed only, so the interval is over paired items and leaves seeds out: "
        f"{show.listing(single)}."
        if single
        else ""
    )
    counts = [one.estimate.num_seeds for one in paired.values()]
    shared = f"{show.spread(counts, str)} shared seed{'' if max(counts) == 1 else 's'}"
    yield (
        f"Difference: percentage points against {comparison.baseline.label}, paired by item "
        "and seed, with Student's 95 % interval over the per-seed differences (seeds − 1 "
        f"degrees of freedom; {shared}).{only} No correction for {len(paired)} comparisons."
    )
