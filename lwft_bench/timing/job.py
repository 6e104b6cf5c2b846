"""What is to be timed against each other. Light to import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lwft_bench.schema.cell import Cell
from lwft_bench.schema.run import plain_ablation
from lwft_bench.schema.timing import TimedCell, TimingConfig
from lwft_bench.timing.turns import Chosen


@dataclass(frozen=True, slots=True)
class TimingJob:
    """One cell for each method of a model and task.

    digests: of each cell's identity, as a timed cell has it. recorded: selections of cells that have
    run, with their steps.
    """

    cells: tuple[Cell, ...]
    digests: Mapping[str, str]
    recorded: Mapping[str, Sequence[tuple[Chosen, int]]]
    timing: TimingConfig
    threads: int

    def timed_cell(
        self, cell: Cell, selections: Literal["recorded", "simulated", "one"]
    ) -> TimedCell:
        """How one of the cells stands beside its timing."""
        return TimedCell(
            cell=cell.id,
            method=cell.method.name,
            ablation=plain_ablation(cell.ablation),
            digest=self.digests[cell.id],
            selections=selections,
        )
