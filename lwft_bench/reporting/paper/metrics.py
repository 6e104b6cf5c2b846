"""What a column of a paper's table shows, in which unit, and whether more of it is better."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from lwft_bench.reporting.numbers.measurements import (
    memories,
    peak_bytes,
    trainings,
    unlike_memories,
)
from lwft_bench.reporting.numbers.rows import Row, differences
from lwft_bench.reporting.paper.amounts import Amount
from lwft_bench.reporting.paper.lines import Line
from lwft_bench.reporting.paper.speeds import (
    by_turns,
    end_to_end,
    speed_ratio,
    steady,
    training_time,
)
from lwft_bench.schema.suite import AVERAGE
from lwft_bench.schema.tables import COLUMNS, BlockKey, ColumnSpec, Preset, TableSpec

Better = str
"""`higher`, `lower`, or "" where neither is."""

_BY_PRESET: Mapping[Preset, tuple[str, ...]] = {
    "paper": ("benchmarks", "average"),
    "memory": ("peak_memory", "memory_ratio", "memory_by_component", "offloaded"),
    "efficiency": (
        "average",
        "peak_memory",
        "throughput_by_turns",
        "speed_ratio",
        "end_to_end_throughput",
        "training_time",
        "trained_parameters",
    ),
    "ablation": ("average", "from_first", "peak_memory", "speed_ratio", "end_to_end_throughput"),
}
_HEADINGS = {
    "difference": "− baseline",
    "from_first": "− first",
    "peak_memory": "peak memory",
    "memory_ratio": "of the baseline's",
    "offloaded": "on the host",
    "throughput_by_turns": "tokens/s, by turns",
    "speed_ratio": "speed ratio",
    "throughput": "tokens/s, steps",
    "end_to_end_throughput": "tokens/s, end to end",
    "training_time": "training time",
    "flops": "operations",
    "trained_parameters": "trained",
    "active_parameters": "active",
}


@dataclass(frozen=True)
class Metric:
    """One column. benchmark: the one that it shows of a line, or `AVERAGE`; None of other metrics."""

    name: str
    heading: str
    measure: Callable[[Line], Amount | str | None]
    kind: str
    better: Better = ""
    benchmark: Callable[[Line], str | None] = lambda _: None
    digits: int | None = None

    @property
    def of_own_cells(self) -> bool:
        """Whether it was measured in each cell alone, with all that the machine did meanwhile."""
        return self.name in ("throughput", "end_to_end_throughput", "training_time")


def metrics_of(spec: TableSpec, blocks: Sequence[BlockKey], lines: Sequence[Line]) -> list[Metric]:
    """The columns of a table of these lines, in their order."""
    columns = spec.columns or _of_preset(spec.preset, lines)
    found: list[Metric] = []
    for column in columns:
        one = ColumnSpec(show=column) if column in COLUMNS else column
        if isinstance(one, str):
            one = ColumnSpec(benchmark=one)
        found += _metrics(one, spec, lines, blocks)
    return found


def _of_preset(preset: Preset, lines: Sequence[Line]) -> tuple[str, ...]:
    """The cells' own speeds stand where methods were not timed against each other."""
    timed = any(line.measured is not None and line.measured.turns for line in lines)
    columns = _BY_PRESET[preset]
    return tuple(name for name in columns if not (timed and name == "end_to_end_throughput"))


def _metrics(
    column: ColumnSpec, spec: TableSpec, lines: Sequence[Line], blocks: Sequence[BlockKey]
) -> Iterator[Metric]:
    def heading(name: str) -> str:
        return column.label or spec.labels.get(name, _HEADINGS.get(name, name.replace("_", " ")))

    digits = column.digits if column.digits is not None else spec.digits
    if column.show == "benchmarks":
        for name in dict.fromkeys(name for line in lines for name in _benchmarks(line)):
            yield _accuracy((name,), heading(name), digits)
    elif column.show in ("accuracy", AVERAGE):
        names = column.benchmarks or (AVERAGE,)
        yield _accuracy(names, heading(names[0]), digits)
    elif column.show == "memory_by_component":
        for name in dict.fromkeys(name for line in lines for name in _components(line)):
            yield Metric(name, heading(name), partial(_component, name), "bytes", digits=digits)
    else:
        measure, kind, better = _OTHERS[column.show]
        if column.show == "from_first":
            first = {_block(line, blocks): line for line in reversed(_scored(lines))}
            measure = partial(_from_first, first, blocks)
        yield Metric(column.show, heading(column.show), measure, kind, better, digits=digits)


def _scored(lines: Sequence[Line]) -> list[Line]:
    return [line for line in lines if line.measured and AVERAGE in line.measured.row.accuracy]


def _accuracy(names: tuple[str, ...], heading: str, digits: int | None) -> Metric:
    def benchmark(line: Line) -> str | None:
        return next((name for name in names if _score(line, name) is not None), None)

    def measure(line: Line) -> Amount | None:
        name = benchmark(line)
        return _score(line, name) if name else None

    return Metric(names[0], heading, measure, "share", "higher", benchmark, digits)


def _benchmarks(line: Line) -> Iterator[str]:
    if line.measured:
        yield from line.measured.comparison.benchmarks
    elif line.published:
        scores = line.published.scores.get(line.model, {}).get(line.method, {})
        yield from (name for name in scores if name != AVERAGE)


def _score(line: Line, name: str) -> Amount | None:
    if line.published:
        percent = line.published.scores.get(line.model, {}).get(line.method, {}).get(name)
        return None if percent is None else Amount(percent / 100)
    estimate = _row(line).accuracy.get(name)
    return None if estimate is None else Amount(estimate.mean, estimate)


def _row(line: Line) -> Row:
    assert line.measured is not None
    return line.measured.row


def _difference(line: Line) -> Amount | str | None:
    if line.measured is None:
        return None
    if line.measured.row is line.measured.comparison.baseline:
        return "baseline"
    paired = line.measured.row.differences.get(AVERAGE)
    return None if paired is None else Amount(paired.estimate.mean, paired.estimate)


def _block(line: Line, blocks: Sequence[BlockKey]) -> tuple[object, ...]:
    """What a block's lines of one model and task have in common."""
    return (*line.group, *(line.name_in(key) for key in blocks))


def _from_first(
    first: Mapping[tuple[object, ...], Line], blocks: Sequence[BlockKey], line: Line
) -> Amount | str | None:
    if line.measured is None or _block(line, blocks) not in first:
        return None
    other = _row(first[_block(line, blocks)])
    if other is line.measured.row:
        return "first"
    paired = differences(line.measured.row, other).get(AVERAGE)
    return None if paired is None else Amount(paired.estimate.mean, paired.estimate)


def _peak(line: Line) -> Amount | None:
    if line.published:
        peak = line.published.peak_gb.get(line.model, {}).get(line.method)
        return None if peak is None else Amount(peak * 1e9)
    found = peak_bytes(_row(line))
    return None if found is None else Amount(float(found))


def _memory_ratio(line: Line) -> Amount | str | None:
    if line.measured is None or line.measured.comparison.baseline is None:
        return None
    baseline = line.measured.comparison.baseline
    if baseline is line.measured.row:
        return "baseline"
    row = line.measured.row
    own, other = peak_bytes(row), peak_bytes(baseline)
    if not own or not other or unlike_memories([row, baseline]):
        return None
    return Amount(own / other)


def _components(line: Line) -> Iterator[str]:
    for found in memories(line.measured.row) if line.measured else ():
        yield from found.components


def _component(name: str, line: Line) -> Amount | None:
    found = memories(line.measured.row) if line.measured else []
    sizes = [one.components[name] for one in found if name in one.components]
    return Amount(float(max(sizes))) if sizes else None


def _offloaded(line: Line) -> Amount | None:
    found = memories(line.measured.row) if line.measured else []
    return Amount(float(max(one.offloaded_bytes for one in found))) if found else None


def _training(name: str, line: Line) -> Amount | None:
    found = trainings(line.measured.row) if line.measured else []
    values = [getattr(one, name) for one in found if getattr(one, name) is not None]
    return Amount(float(max(values))) if values else None


def _seeds(line: Line) -> Amount | None:
    if line.measured is None or not line.measured.row.trains:
        return None
    return Amount(float(len(line.measured.row.done)))


_OTHERS: Mapping[str, tuple[Callable[[Line], Amount | str | None], str, Better]] = {
    "difference": (_difference, "points", ""),
    "from_first": (lambda _: None, "points", ""),
    "peak_memory": (_peak, "bytes", "lower"),
    "memory_ratio": (_memory_ratio, "ratio", ""),
    "offloaded": (_offloaded, "bytes", ""),
    "throughput_by_turns": (by_turns, "rate", "higher"),
    "speed_ratio": (speed_ratio, "ratio", ""),
    "throughput": (steady, "rate", "higher"),
    "end_to_end_throughput": (end_to_end, "rate", "higher"),
    "training_time": (training_time, "seconds", "lower"),
    "flops": (partial(_training, "flops"), "count", "lower"),
    "trained_parameters": (partial(_training, "trained_parameters"), "count", ""),
    "active_parameters": (partial(_training, "active_parameters_mean"), "count", ""),
    "seeds": (_seeds, "seeds", ""),
}
