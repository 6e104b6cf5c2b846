"""The comparison table: accuracy with its uncertainty, memory, speed, parameters, status."""

from __future__ import annotations

import pandas as pd

from lwft_bench.config.suite import AVERAGE
from lwft_bench.reporting.numbers.comparison import Comparison, Row
from lwft_bench.reporting.numbers.measurements import (
    memory_note,
    peak_bytes,
    speed,
    speed_note,
    trainings,
)
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Table

_UNCERTAINTY = (
    "average: over benchmarks, unweighted. ± is one standard error over items and seeds (crossed: "
    "variance of item means plus variance of seed means, their shared residual taken once); with "
    "one seed, and for an untrained model, over items only."
)


def main_table(comparison: Comparison) -> Table:
    """Accuracy, difference to the baseline, memory, speed, parameters, seeds and status."""
    rows = comparison.rows
    baseline = comparison.baseline
    has_difference = any(AVERAGE in row.differences for row in rows)
    difference_column = f"average − {baseline.label} [95 %]" if baseline else ""
    display, values = [], []
    for row in rows:
        shown = {"method": row.label}
        shown |= {
            key: show.accuracy(row.accuracy.get(key)) for key in (*comparison.benchmarks, AVERAGE)
        }
        if has_difference:
            shown[difference_column] = (
                "baseline"
                if baseline and row.label == baseline.label
                else show.difference(row.differences.get(AVERAGE))
            )
        rate = speed(row)
        shown |= {
            "peak memory": show.memory(peak_bytes(row)),
            "tokens/s": str(rate) if rate else show.NOTHING,
            "trained / active parameters": _parameters(row),
            "seeds": f"{len(row.done)} of {len(row.cells)}" if row.trains else show.NOTHING,
            "status": row.status,
        }
        display.append(shown)
        values.append(_main_values(comparison, row))
    return Table(
        name=f"main{comparison.suffix}",
        title=f"{comparison.model} on {comparison.task}: accuracy (%), memory and speed",
        display=pd.DataFrame(display),
        values=pd.DataFrame(values),
        notes=tuple(_main_notes(comparison)),
        text_columns=("status",),
    )


def _parameters(row: Row) -> str:
    found = trainings(row)
    if not found:
        return show.NOTHING
    trained = show.spread([one.trained_parameters for one in found], show.count)
    active = show.spread([one.active_parameters_mean for one in found], show.count)
    return f"{trained} / {active}"


def _main_values(comparison: Comparison, row: Row) -> dict[str, object]:
    values: dict[str, object] = {
        "model": comparison.model,
        "task": comparison.task,
        "method": row.label,
    }
    for key in (*comparison.benchmarks, AVERAGE):
        estimate = row.accuracy.get(key)
        values[key] = estimate.mean if estimate else None
        values[f"{key}_stderr"] = estimate.stderr if estimate else None
    paired = row.differences.get(AVERAGE)
    rate = speed(row)
    found = trainings(row)
    return values | {
        "difference": paired.estimate.mean if paired else None,
        "difference_low": paired.low if paired else None,
        "difference_high": paired.high if paired else None,
        "peak_memory_bytes": peak_bytes(row),
        "target_tokens_per_second": rate.mean if rate else None,
        "target_tokens_per_second_spread": rate.spread if rate else None,
        "trained_parameters": max((one.trained_parameters for one in found), default=None),
        "active_parameters_mean": max((one.active_parameters_mean for one in found), default=None),
        "seeds_done": len(row.done),
        "seeds_planned": len(row.cells),
        "status": row.status,
    }


def _main_notes(comparison: Comparison) -> list[str]:
    scored = comparison.scored
    if not scored:
        return []
    items = [
        [row.accuracy[name].num_items for row in scored if name in row.accuracy]
        for name in comparison.benchmarks
    ]
    sizes = show.spread([number for numbers in items for number in numbers], str)
    obtained = f"percent of {sizes} items a benchmark, mean over seeds, counted from the samples"
    notes = [f"Accuracy: {obtained}; {_UNCERTAINTY}"]
    if any(
        estimate.stderr == 0 and estimate.mean in (0, 1)
        for row in scored
        for estimate in row.accuracy.values()
    ):
        notes.append(
            "Where no item or every item is solved the formula gives ± 0.0; the 95 % bound is then "
            "about 3 divided by the number of items."
        )
    paired = {row.label: row.differences[AVERAGE] for row in scored if AVERAGE in row.differences}
    if comparison.baseline and paired:
        single = [label for label, one in paired.items() if not one.over_seeds]
        only = (
            f" One shared seed only, so the interval is over paired items and leaves seeds out: "
            f"{show.listing(single)}."
            if single
            else ""
        )
        counts = [one.estimate.num_seeds for one in paired.values()]
        shared = f"{show.spread(counts, str)} shared seed{'' if max(counts) == 1 else 's'}"
        notes.append(
            f"Difference: percentage points against {comparison.baseline.label}, paired by item "
            "and seed, with Student's 95 % interval over the per-seed differences (seeds − 1 "
            f"degrees of freedom; {shared}).{only} No correction for {len(paired)} comparisons."
        )
    parameters = (
        "Parameters: those that received at least one update / mean over steps of those updated."
        if comparison.trained
        else None
    )
    measured = [memory_note(comparison), speed_note(comparison), parameters]
    return notes + [note for note in measured if note]
