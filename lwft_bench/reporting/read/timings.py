"""How methods were timed against each other, as a run directory has it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lwft_bench.results.timing import read_timing
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.timing import TimedSet, TimingHeader, TimingRow


@dataclass(frozen=True)
class ReportedTiming:
    """header: None where nothing was timed. problem: why the file could not be read."""

    header: TimingHeader | None = None
    rows: tuple[TimingRow, ...] = ()
    problem: str = ""

    def of(self, model: str, task: str) -> TimedSet | None:
        """What was timed of a model and task."""
        sets = self.header.sets if self.header else ()
        return next((one for one in sets if (one.model, one.task) == (model, task)), None)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is missing, and why."""
        if self.problem:
            return (f"How methods were timed could not be read: {self.problem}.",)
        sets = self.header.sets if self.header else ()
        return tuple(
            f"{one.model} on {one.task}: the methods were not timed against each other: {one.problem}."
            for one in sets
            if one.problem
        )


def reported_timing(folder: Path) -> ReportedTiming:
    """What the directory has; a file that cannot be read is a problem and no error."""
    try:
        header, rows = read_timing(folder)
    except UserError as error:
        return ReportedTiming(problem=error.message)
    return ReportedTiming(header, tuple(rows))
