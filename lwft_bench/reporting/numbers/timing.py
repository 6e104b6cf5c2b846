"""Speeds of methods that were timed by turns, and their ratios with what is known of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lwft_bench.reporting.numbers.comparison import Comparison
from lwft_bench.reporting.numbers.estimates import CONFIDENCE
from lwft_bench.reporting.numbers.rows import Row
from lwft_bench.reporting.numbers.student import student_quantile
from lwft_bench.reporting.read.timings import ReportedTiming
from lwft_bench.schema.labels import label_of
from lwft_bench.schema.run import trained_as
from lwft_bench.schema.timing import TimedCell, TimedSet, TimingRow


@dataclass(frozen=True)
class Interval:
    """A geometric mean over pairs and Student's 95 % interval of it; None with one pair."""

    mean: float
    low: float | None
    high: float | None

    @classmethod
    def over(cls, logs: np.ndarray) -> Interval:
        """From the logarithms, [pairs]."""
        mean, number = float(logs.mean()), len(logs)
        if number < 2:
            return cls(math.exp(mean), None, None)
        margin = (
            student_quantile(CONFIDENCE, number - 1) * float(logs.std(ddof=1)) / math.sqrt(number)
        )
        return cls(math.exp(mean), math.exp(mean - margin), math.exp(mean + margin))

    @property
    def excludes_one(self) -> bool:
        """Whether it says which of two is faster."""
        return self.low is not None and self.high is not None and not self.low <= 1 <= self.high


@dataclass(frozen=True)
class TimedLine:
    """One method. `rows` are its timed steps, in every pair the same number."""

    label: str
    cell: TimedCell
    rows: tuple[TimingRow, ...]

    @cached_property
    def log_rates(self) -> np.ndarray:
        """[pairs]: of tokens per second, padding left out."""
        return self._log_rates(lambda row: row.seconds)

    @cached_property
    def target_rates(self) -> dict[int, float]:
        """Pair -> target tokens per second."""
        return self._rates(lambda row: row.target_tokens, lambda row: row.seconds)

    @cached_property
    def _log_rates_by_processor(self) -> np.ndarray:
        return self._log_rates(lambda row: row.processor_seconds)

    def _log_rates(self, seconds: Callable[[TimingRow], float]) -> np.ndarray:
        return np.log([*self._rates(lambda row: row.tokens, seconds).values()])

    def _rates(
        self, tokens: Callable[[TimingRow], int], seconds: Callable[[TimingRow], float]
    ) -> dict[int, float]:
        """Pair, ascending -> tokens over seconds, of all its steps."""
        totals = {pair: [0.0, 0.0] for pair in sorted({row.pair for row in self.rows})}
        for row in self.rows:
            totals[row.pair][0] += tokens(row)
            totals[row.pair][1] += seconds(row)
        return {pair: number / max(spent, 1e-9) for pair, (number, spent) in totals.items()}

    @property
    def step_seconds(self) -> float:
        """Mean over the timed steps."""
        return float(np.mean([row.seconds for row in self.rows]))

    @property
    def target_tokens_per_second(self) -> float:
        """Tokens that count in the loss."""
        return sum(row.target_tokens for row in self.rows) / sum(row.seconds for row in self.rows)

    @property
    def tokens_per_second(self) -> float:
        """All tokens but padding."""
        return sum(row.tokens for row in self.rows) / sum(row.seconds for row in self.rows)

    @property
    def num_pairs(self) -> int:
        """Rounds that it had a turn in."""
        return len({row.pair for row in self.rows})

    @property
    def by_depth(self) -> dict[int, list[float]]:
        """Seconds of steps by the depth of the lowest unit that trained, lowest first; empty where it is
        always the same.
        """
        found: dict[int, list[float]] = {}
        for row in sorted(self.rows, key=lambda row: row.lowest if row.lowest is not None else -1):
            if row.lowest is not None:
                found.setdefault(row.lowest, []).append(row.seconds)
        return found if len(found) > 1 else {}

    def against(self, other: TimedLine) -> Interval:
        """This method's tokens per second over the other's, paired by round."""
        return Interval.over(self.log_rates - other.log_rates)

    def against_by_processor(self, other: TimedLine) -> Interval:
        """The same for tokens per second of processor time."""
        return Interval.over(self._log_rates_by_processor - other._log_rates_by_processor)


@dataclass(frozen=True)
class TimedComparison:
    """The timed methods of one model and task.

    lines: label of a row -> its line. baseline: the label that ratios refer to, if it was timed.
    stale: labels whose method is no longer what was timed.
    """

    measured: TimedSet
    lines: Mapping[str, TimedLine]
    baseline: str | None
    stale: tuple[str, ...] = ()

    @property
    def pairs(self) -> int:
        """Rounds of all methods."""
        return max(line.num_pairs for line in self.lines.values())

    @property
    def batches(self) -> int:
        """Timed steps of each method."""
        return max(len(line.rows) for line in self.lines.values())

    @property
    def ratios(self) -> dict[str, Interval]:
        """Speed over the baseline's, by label; without its own."""
        if self.baseline is None:
            return {}
        reference = self.lines[self.baseline]
        return {
            label: line.against(reference)
            for label, line in self.lines.items()
            if label != self.baseline
        }

    @property
    def ratios_by_processor(self) -> dict[str, Interval]:
        """The same of processor time, which other work does not lengthen; only of one thread on the CPU,
        where nothing else computes and no thread spins for another.
        """
        load = self.measured.load
        if self.baseline is None or load is None or not load.on_cpu or self.measured.threads > 1:
            return {}
        reference = self.lines[self.baseline]
        return {label: self.lines[label].against_by_processor(reference) for label in self.ratios}

    @property
    def contention(self) -> tuple[str, ...]:
        """What says that the machine had other work meanwhile."""
        return self.measured.load.contention if self.measured.load else ()

    def not_separable(self, label: str) -> list[str]:
        """Methods that are neither faster nor slower, as far as the pairs tell."""
        line = self.lines[label]
        return [
            other
            for other, its_line in self.lines.items()
            if other != label and not line.against(its_line).excludes_one
        ]


def timed(comparison: Comparison, timing: ReportedTiming) -> TimedComparison | None:
    """What was timed of this model and task; None if nothing that stands in the comparison was."""
    measured = timing.of(comparison.model, comparison.task)
    if measured is None or measured.problem:
        return None
    steps: dict[str, list[TimingRow]] = {}
    for row in timing.rows:
        steps.setdefault(row.cell, []).append(row)
    lines, stale = {}, []
    for cell in measured.cells:
        row_of = _row_of(comparison.rows, cell)
        if row_of is None or cell.cell not in steps:
            continue
        if not _is_same(row_of, cell):
            stale.append(row_of.label)
            continue
        lines[row_of.label] = TimedLine(row_of.label, cell, tuple(steps[cell.cell]))
    if not lines:
        return None
    base = comparison.baseline.label if comparison.baseline else None
    return TimedComparison(measured, lines, base if base in lines else None, tuple(stale))


def timed_alone(timing: ReportedTiming, baseline: str | None) -> list[TimedComparison]:
    """Everything that was timed, without a run to compare it with."""
    found = []
    for measured in timing.sets:
        lines = {
            label: TimedLine(label, cell, tuple(rows))
            for cell in measured.cells
            if (rows := [row for row in timing.rows if row.cell == cell.cell])
            for label in [label_of(cell.method, cell.ablation)]
        }
        if lines:
            base = baseline if baseline in lines else None
            found.append(TimedComparison(measured, lines, base))
    return found


def _row_of(rows: Sequence[Row], cell: TimedCell) -> Row | None:
    return next((row for row in rows if any(one.id == cell.cell for one in row.cells)), None)


def _is_same(row: Row, cell: TimedCell) -> bool:
    """Whether the cell of the row is what was timed."""
    results = (one.result for one in row.cells if one.id == cell.cell)
    return any(
        result is not None and trained_as(result.identity_components) == cell.digest
        for result in results
    )
