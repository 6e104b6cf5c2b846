"""The run's scores beside those that others printed."""

from __future__ import annotations

import math

import pandas as pd

from lwft_bench.config.suite import AVERAGE
from lwft_bench.reporting.numbers.comparison import Comparison
from lwft_bench.reporting.numbers.statistics import Estimate
from lwft_bench.reporting.read.records import RunRecords
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Table

_CAUTION = (
    "Accuracy in percent. ±: one standard error of what was measured here; that of the published "
    "numbers is not known. What was not published of the settings had to be inferred or chosen (the "
    "suite's comments mark it), and a difference can be due to any of that."
)


def published_table(records: RunRecords, comparison: Comparison) -> Table | None:
    """One line for each method and benchmark that the source has numbers of.

    None where it has none of this model, or where nothing is scored yet.
    """
    published = records.published
    by_method = published.scores.get(comparison.model, {}) if published else {}
    printed = {benchmark for scores in by_method.values() for benchmark in scores}
    benchmarks = [key for key in (*comparison.benchmarks, AVERAGE) if key in printed]
    rows = [row for row in comparison.rows if by_method.get(row.method)]
    if published is None or not comparison.scored or not benchmarks or not rows:
        return None
    display, values = [], []
    for row in rows:
        for benchmark in benchmarks:
            here = row.accuracy.get(benchmark)
            percent = by_method[row.method].get(benchmark)
            display.append(
                {
                    "method": row.label,
                    "benchmark": benchmark,
                    "here": show.accuracy(here),
                    "published": show.NOTHING if percent is None else f"{percent:.2f}",
                    "here − published": _difference(here, percent),
                }
            )
            values.append(
                {
                    "model": comparison.model,
                    "task": comparison.task,
                    "method": row.label,
                    "benchmark": benchmark,
                    "here": here.mean if here else None,
                    "here_stderr": here.stderr if here else None,
                    "seeds": here.num_seeds if here else None,
                    "items": here.num_items if here else None,
                    "published": None if percent is None else percent / 100,
                }
            )
    lacking = [row.label for row in comparison.rows if not by_method.get(row.method)]
    return Table(
        name=f"published{comparison.suffix}",
        title=f"{comparison.model} on {comparison.task}: against the published numbers",
        display=pd.DataFrame(display),
        values=pd.DataFrame(values),
        notes=(
            f"Published: {published.source.rstrip('.')}.",
            *((f"Without numbers there: {show.listing(lacking)}.",) if lacking else ()),
            f"The average here is over {show.listing(comparison.benchmarks)}.",
            _CAUTION,
        ),
        text_columns=("benchmark",),
    )


def _difference(here: Estimate | None, percent: float | None) -> str:
    if here is None or percent is None:
        return show.NOTHING
    points = show.points(here.mean - percent / 100)
    return points if math.isnan(here.stderr) else f"{points} ± {100 * here.stderr:.1f}"
