"""The run's scores beside those that others printed."""

from __future__ import annotations

import math

import pandas as pd

from lwft_bench.config.suite import AVERAGE, Published
from lwft_bench.reporting import formatting as show
from lwft_bench.reporting.comparison import Comparison
from lwft_bench.reporting.measurements import peak_bytes, throughputs
from lwft_bench.reporting.records import RunRecords
from lwft_bench.reporting.statistics import Estimate
from lwft_bench.reporting.table import Table

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
            source_note(published),
            *((f"Without numbers there: {show.listing(lacking)}.",) if lacking else ()),
            f"The average here is over {show.listing(comparison.benchmarks)}.",
            _CAUTION,
        ),
        text_columns=("benchmark",),
    )


def source_note(published: Published) -> str:
    """Where the numbers stand, and what was read."""
    caution = "; a language model's summary of it, in which single cells may be wrong"
    return f"Published: {published.source.rstrip('.')}{caution * (published.kind == 'summary')}."


def published_cost_table(records: RunRecords, comparison: Comparison) -> Table | None:
    """One line for each method whose peak memory or throughput the source has.

    None where it has neither of this model, or where nothing was trained yet.
    """
    published = records.published
    if published is None:
        return None
    peaks = published.peak_gb.get(comparison.model, {})
    rates = published.tokens_per_second.get(comparison.model, {})
    rows = [row for row in comparison.trained if row.method in peaks or row.method in rates]
    if not rows:
        return None
    values = []
    for row in rows:
        speeds = [found.tokens_per_second for found in throughputs(row)]
        values.append(
            {
                "method": row.label,
                "peak_gb": _gigabytes(peak_bytes(row)),
                "published_peak_gb": peaks.get(row.method),
                "tokens_per_second": sum(speeds) / len(speeds) if speeds else None,
                "published_tokens_per_second": rates.get(row.method),
            }
        )
    frame = pd.DataFrame(values)
    display = frame.map(lambda value: value if isinstance(value, str) else _number(value))
    display.columns = ["method", "peak here", "published", "tokens/s here", "published tokens/s"]
    conditions = published.conditions.rstrip(".") or "not stated"
    return Table(
        name=f"published_cost{comparison.suffix}",
        title=f"{comparison.model} on {comparison.task}: memory and speed against published ones",
        display=display,
        values=frame,
        notes=(
            source_note(published),
            f"Conditions there: {conditions}. Peaks in GB: here of 10^9 bytes, there as the source "
            "writes them. Memory and speed depend on the device, on which the two probably differ.",
        ),
        text_columns=(),
    )


def _gigabytes(num_bytes: int | None) -> float | None:
    return None if num_bytes is None else num_bytes / 1e9


def _number(value: float | None) -> str:
    return show.NOTHING if value is None or math.isnan(value) else f"{value:,.2f}"


def _difference(here: Estimate | None, percent: float | None) -> str:
    if here is None or percent is None:
        return show.NOTHING
    points = show.points(here.mean - percent / 100)
    return points if math.isnan(here.stderr) else f"{points} ± {100 * here.stderr:.1f}"
