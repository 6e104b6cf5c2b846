"""The run's peak memory and speed beside those that others printed."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.measurements import peak_bytes, throughputs
from lwft_bench.reporting.render.table import Column, Table, tabulate
from lwft_bench.reporting.tables.leading import about
from lwft_bench.reporting.tables.published import source_note


@dataclass(frozen=True)
class _Line:
    """One method. peak: in GB of 10^9 bytes. speed: tokens per second."""

    method: str
    peak: float | None
    published_peak: float | None
    speed: float | None
    published_speed: float | None


def build(context: Context) -> Table | None:
    """One line for each method whose peak memory or throughput the source has.

    None where it has neither of this model, or where nothing was trained yet.
    """
    published, comparison = context.records.published, context.comparison
    if published is None:
        return None
    peaks = published.peak_gb.get(comparison.model, {})
    speeds = published.tokens_per_second.get(comparison.model, {})
    lines = []
    for row in comparison.trained:
        if row.method not in peaks and row.method not in speeds:
            continue
        peak, found = peak_bytes(row), [one.tokens_per_second for one in throughputs(row)]
        lines.append(
            _Line(
                row.label,
                None if peak is None else peak / 1e9,
                peaks.get(row.method),
                fmean(found) if found else None,
                speeds.get(row.method),
            )
        )
    if not lines:
        return None
    return tabulate(
        context.name("published_cost"),
        context.title("memory and speed against published ones"),
        lines,
        [*about(context), *_COLUMNS],
        notes=(
            source_note(published),
            f"Conditions there: {published.conditions_of(comparison.model)}.",
            "Peaks in GB: here of 10^9 bytes, there as the source writes them. Memory and speed "
            "depend on the device, which is probably another one here.",
        ),
    )


def _number(value: float) -> str:
    return f"{value:,.2f}"


_COLUMNS: list[Column[_Line]] = [
    Column("method", lambda line: line.method, plain="method"),
    Column("peak here, GB", lambda line: line.peak, _number, plain="peak_gb"),
    Column("published", lambda line: line.published_peak, _number, plain="published_peak_gb"),
    Column("tokens/s here", lambda line: line.speed, _number, plain="tokens_per_second"),
    Column(
        "published tokens/s",
        lambda line: line.published_speed,
        _number,
        plain="published_tokens_per_second",
    ),
]
