"""Methods timed by turns on the same batches: what a step takes, and where that depends on."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.timing import TimedComparison, TimedLine, timed
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Column, Table, tabulate
from lwft_bench.reporting.tables.leading import about


def build(context: Context) -> Table | None:
    """None where nothing was timed."""
    found = timed(context.comparison, context.records.timing)
    if found is None:
        return None
    return timing_table(
        context.name("timing"), context.title("speed, timed by turns"), found, about(context)
    )


def timing_table(
    name: str, title: str, found: TimedComparison, leading: list[Column[TimedLine]]
) -> Table:
    """A row for each method, the quickest first."""
    lines = sorted(found.lines.values(), key=lambda line: -line.tokens_per_second)
    return tabulate(name, title, lines, [*leading, *_columns(found)], notes=_notes(found))


def _columns(found: TimedComparison) -> list[Column[TimedLine]]:
    ratios = found.ratios
    return [
        Column("method", lambda line: line.label, plain="method"),
        Column("s a step", lambda line: line.step_seconds, show.three_digits, "step_seconds"),
        Column(
            "target tokens/s",
            lambda line: line.target_tokens_per_second,
            lambda rate: f"{rate:,.0f}",
            "target_tokens_per_second",
        ),
        Column(
            "tokens/s",
            lambda line: line.tokens_per_second,
            lambda rate: f"{rate:,.0f}",
            "tokens_per_second",
        ),
        Column(
            f"speed ÷ {found.baseline} [95 %]" if found.baseline else None,
            lambda line: "baseline" if line.label == found.baseline else ratios.get(line.label),
            lambda ratio: ratio if isinstance(ratio, str) else show.ratio(ratio),
            {
                "speed_ratio": lambda ratio: None if isinstance(ratio, str) else ratio.mean,
                "speed_ratio_low": lambda ratio: None if isinstance(ratio, str) else ratio.low,
                "speed_ratio_high": lambda ratio: None if isinstance(ratio, str) else ratio.high,
            },
        ),
        *_by_processor(found),
        Column(
            "order unknown against",
            lambda line: found.not_separable(line.label) or None,
            show.listing,
            {"not_separable": lambda labels: "; ".join(labels)},
            text=True,
        ),
        Column(
            "s a step by lowest unit",
            lambda line: line.by_depth or None,
            _depths,
            {"step_seconds_by_depth": _depths},
            text=True,
        ),
    ]


def _by_processor(found: TimedComparison) -> Iterator[Column[TimedLine]]:
    if ratios := found.ratios_by_processor:
        yield Column(
            "by processor time [95 %]",
            lambda line: ratios.get(line.label),
            show.ratio,
            {
                "processor_speed_ratio": lambda ratio: ratio.mean,
                "processor_speed_ratio_low": lambda ratio: ratio.low,
                "processor_speed_ratio_high": lambda ratio: ratio.high,
            },
        )


def _depths(found: dict[int, list[float]]) -> str:
    return ", ".join(
        f"{depth}: {show.three_digits(fmean(seconds))}" for depth, seconds in found.items()
    )


def _notes(found: TimedComparison) -> Iterator[str]:
    measured = found.measured
    yield (
        f"Every method made the same {found.batches} batches' steps, by turns in one "
        f"process on {measured.device} ({measured.threads} CPU threads): {found.pairs} pairs, each a "
        f"round of all methods with {found.batches // found.pairs} steps each, the order turned round "
        "every time. "
        "Tokens/s are without padding. Ratio: geometric mean over pairs and Student's 95 % interval "
        "of its logarithm. Order unknown: the interval of the ratio of the two has 1 in it, so that "
        "neither may be called faster."
    )
    simulated = [x.label for x in found.lines.values() if x.cell.selections == "simulated"]
    yield (
        "Layer-wise methods train what they selected in their own cell"
        + (
            f" ({show.listing(simulated)}: what their strategy selects on made-up gradients)"
            if simulated
            else ""
        )
        + ", from the lowest to the highest selections; a lower unit costs more, and that the choice "
        "of steps has its part in the interval. Probing and switches are not in it."
    )
    if found.contention:
        yield f"{show.CONTENDED.strip()} Taken under contention: {show.listing(found.contention)}."
    if found.stale:
        yield f"Not as they were timed, and left out: {show.listing(found.stale)}."
