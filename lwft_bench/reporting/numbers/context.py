"""What every table and every figure is built from."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lwft_bench.reporting.numbers.comparison import Comparison, compare
from lwft_bench.reporting.read.records import RunRecords
from lwft_bench.reporting.read.tunings import ReportedTuning


@dataclass(frozen=True)
class Context:
    """A run, and the model and task that a table or figure is about.

    current: None for tables and figures of the run as a whole.
    """

    records: RunRecords
    comparisons: tuple[Comparison, ...]
    current: Comparison | None = None

    @classmethod
    def of(cls, records: RunRecords) -> Context:
        return cls(records, tuple(compare(records)))

    def about(self, comparison: Comparison) -> Context:
        return replace(self, current=comparison)

    @property
    def comparison(self) -> Comparison:
        """The model and task in question."""
        assert self.current is not None, "built for the run as a whole"
        return self.current

    @property
    def tunings(self) -> list[ReportedTuning]:
        """Those of the model and task."""
        pair = (self.comparison.model, self.comparison.task)
        return [one for one in self.records.tunings if (one.model, one.task) == pair]

    def name(self, stem: str) -> str:
        """Of a table's or figure's file."""
        return stem + (self.current.suffix if self.current else "")

    def title(self, what: str) -> str:
        return f"{self.comparison.model} on {self.comparison.task}: {what}"
