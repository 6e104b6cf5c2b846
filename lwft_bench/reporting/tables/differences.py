"""Paired differences: to the baseline, of each pair of methods, and between ablated values."""

from __future__ import annotations

import pandas as pd

from lwft_bench.config.suite import AVERAGE
from lwft_bench.reporting.numbers.comparison import Comparison, Row, differences
from lwft_bench.reporting.numbers.measurements import peak_bytes, speed
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Table

_BEYOND_NOISE = (
    "Beyond noise: of the average; both the interval over seeds and the interval over items "
    "exclude zero."
)

MOST_IN_PAIRS = 12
"""Methods of which each pair is shown; a larger table cannot be read."""


def differences_table(comparison: Comparison) -> Table | None:
    """Every paired difference to the baseline, benchmark by benchmark; None without a baseline."""
    rows = [row for row in comparison.rows if row.differences]
    if comparison.baseline is None or not rows:
        return None
    keys = (*comparison.benchmarks, AVERAGE)
    display = [
        {"method": row.label}
        | {key: show.difference(row.differences.get(key)) for key in keys}
        | {"beyond noise": _verdict(row)}
        for row in rows
    ]
    values = [
        {
            "model": comparison.model,
            "task": comparison.task,
            "method": row.label,
            "benchmark": key,
            "difference": paired.estimate.mean,
            "low": paired.low,
            "high": paired.high,
            "stderr": paired.estimate.stderr,
            "item_stderr": paired.estimate.item_stderr,
            "seeds": paired.estimate.num_seeds,
            "items": paired.estimate.num_items,
            "beyond_noise": paired.beyond_noise,
        }
        for row in rows
        for key, paired in row.differences.items()
    ]
    return Table(
        name=f"differences{comparison.suffix}",
        title=(
            f"{comparison.model} on {comparison.task}: differences to {comparison.baseline.label} "
            "in percentage points [95 %]"
        ),
        display=pd.DataFrame(display),
        values=pd.DataFrame(values),
        notes=(_BEYOND_NOISE,),
        text_columns=("beyond noise",),
    )


def pairwise_table(comparison: Comparison) -> Table | None:
    """The average of every method minus that of every other; None for few methods or many."""
    rows = [row for row in comparison.trained if AVERAGE in row.accuracy]
    if not 3 <= len(rows) <= MOST_IN_PAIRS:
        return None
    pairs = {
        (row.label, other.label): differences(row, other).get(AVERAGE)
        for row in rows
        for other in rows
        if row is not other
    }
    labels = [row.label for row in rows]
    display = [
        {"method": label}
        | {f"− {other}": show.difference(pairs.get((label, other))) for other in labels}
        for label in labels
    ]
    values = [
        {
            "model": comparison.model,
            "task": comparison.task,
            "method": label,
            "minus": other,
            "difference": paired.estimate.mean if paired else None,
            "low": paired.low if paired else None,
            "high": paired.high if paired else None,
            "seeds": paired.estimate.num_seeds if paired else None,
            "beyond_noise": paired.beyond_noise if paired else None,
        }
        for (label, other), paired in pairs.items()
    ]
    return Table(
        name=f"pairwise{comparison.suffix}",
        title=f"{comparison.model} on {comparison.task}: differences of averages between methods",
        display=pd.DataFrame(display),
        values=pd.DataFrame(values),
        notes=(
            "Row minus column, percentage points of the average, paired by item and seed. 95 % "
            "interval: Student's over seeds; over items where one seed is shared. No correction for "
            f"{len(pairs) // 2} comparisons.",
        ),
    )


def _verdict(row: Row) -> str:
    paired = row.differences.get(AVERAGE)
    if paired is None:
        return show.NOTHING
    return "yes" if paired.beyond_noise else "no"


def ablations_table(comparison: Comparison) -> Table | None:
    """Each ablated value against the first value of its method; None if nothing is ablated."""
    ablated = [row for row in comparison.rows if row.options]
    if not ablated:
        return None
    first_of_method: dict[str, Row] = {}
    display, values = [], []
    for row in ablated:
        first = first_of_method.setdefault(row.method, row)
        average = row.accuracy.get(AVERAGE)
        paired = differences(row, first).get(AVERAGE) if row is not first else None
        rate = speed(row)
        display.append(
            {
                "method": row.method,
                "option": ", ".join(row.options),
                "average": show.accuracy(average),
                "against the first value [95 %]": (
                    "first value" if row is first else show.difference(paired)
                ),
                "peak memory": show.memory(peak_bytes(row)),
                "tokens/s": str(rate) if rate else show.NOTHING,
                "status": row.status,
            }
        )
        values.append(
            {
                "model": comparison.model,
                "task": comparison.task,
                "method": row.method,
                "option": ", ".join(row.options),
                "average": average.mean if average else None,
                "average_stderr": average.stderr if average else None,
                "difference": paired.estimate.mean if paired else None,
                "difference_low": paired.low if paired else None,
                "difference_high": paired.high if paired else None,
                "status": row.status,
            }
        )
    return Table(
        name=f"ablations{comparison.suffix}",
        title=f"{comparison.model} on {comparison.task}: ablations",
        display=pd.DataFrame(display),
        values=pd.DataFrame(values),
        notes=("Average accuracy in percent; differences paired by item and seed.",),
        text_columns=("option", "status"),
    )
