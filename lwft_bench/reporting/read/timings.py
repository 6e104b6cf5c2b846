"""How methods were timed against each other, as a run directory has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lwft_bench.results.timing import read_timing
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.timing import TimedSet, TimingRow


@dataclass(frozen=True)
class ReportedTiming:
    """sets: none where nothing was timed. problem: why the file could not be read."""

    sets: tuple[TimedSet, ...] = ()
    rows: tuple[TimingRow, ...] = ()
    problem: str = ""

    def of(self, model: str, task: str) -> TimedSet | None:
        """What was timed of a model and task."""
        return next((one for one in self.sets if (one.model, one.task) == (model, task)), None)

    @property
    def timed(self) -> tuple[TimedSet, ...]:
        """Without those that could not be timed."""
        return tuple(one for one in self.sets if one.cells and not one.problem)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is missing, and why."""
        if self.problem:
            return (f"How methods were timed could not be read: {self.problem}.",)
        return tuple(
            f"{one.model} on {one.task}: the methods were not timed against each other: {one.problem}."
            for one in self.sets
            if one.problem
        )

    def renamed(self, names: Mapping[str, str]) -> ReportedTiming:
        """With other ids of its cells; cells without one are left out."""
        sets = [
            one.model_copy(
                update={
                    "cells": tuple(
                        cell.model_copy(update={"cell": names[cell.cell]})
                        for cell in one.cells
                        if cell.cell in names
                    )
                }
            )
            for one in self.sets
        ]
        rows = [
            row.model_copy(update={"cell": names[row.cell]})
            for row in self.rows
            if row.cell in names
        ]
        return ReportedTiming(tuple(sets), tuple(rows), self.problem)


def reported_timing(folder: Path) -> ReportedTiming:
    """What the directory has; a file that cannot be read is a problem and no error."""
    try:
        header, rows = read_timing(folder)
    except UserError as error:
        return ReportedTiming(problem=error.message)
    return ReportedTiming(header.sets if header else (), tuple(rows))


def joined_timings(timings: Sequence[ReportedTiming]) -> ReportedTiming:
    """Of several runs, whose cells have ids of their own. Speeds of two processes are not paired, so
    of a model and task that several have timed the first counts.
    """
    sets: dict[tuple[str, str], TimedSet] = {}
    rows: list[TimingRow] = []
    for timing in timings:
        for one in timing.sets:
            pair = (one.model, one.task)
            if pair in sets and not sets[pair].problem:
                continue
            sets[pair] = one
            own = {cell.cell for cell in one.cells}
            rows += [row for row in timing.rows if row.cell in own]
    return ReportedTiming(tuple(sets.values()), tuple(rows))
