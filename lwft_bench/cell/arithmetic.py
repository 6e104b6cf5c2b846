"""The floating-point operations of a cell's steps, each from the batch that it had."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from lwft_bench.dry_run.dry_run import MEASURING, PROBING, cost_class
from lwft_bench.dry_run.operations import StepCosts
from lwft_bench.schema.extents import Extent
from lwft_bench.schema.result import Operations
from lwft_bench.schema.rows import StepRow
from lwft_bench.training.trace import Trace

PURPOSES = ("useful", "padding", "recomputation", "updates", "probing", "measuring")


@dataclass(frozen=True, slots=True)
class CellArithmetic:
    """steps: of each of the trace's steps, by purpose, with what was measured before it."""

    steps: list[Counter[str]]
    uncounted: tuple[str, ...]
    deviation: float

    @property
    def flops(self) -> list[int]:
        """Of each step in all."""
        return [step.total() for step in self.steps]

    @property
    def record(self) -> Operations:
        total: Counter[str] = sum(self.steps, Counter())
        return Operations(
            **{purpose: total[purpose] for purpose in PURPOSES},
            uncounted=list(self.uncounted),
            deviation=self.deviation,
        )

    def rows(self, step_rows: Sequence[StepRow]) -> list[StepRow]:
        """The rows of steps.jsonl with their operations."""
        return [
            row.model_copy(
                update={
                    "flops": step.total(),
                    "useful_flops": step["useful"],
                    "padded_tokens": _known(row.computed).tokens,
                    "computed": None,
                    "needed": None,
                }
            )
            for row, step in zip(step_rows, self.steps, strict=True)
        ]


def cell_arithmetic(
    trace: Trace,
    operations: StepCosts,
    num_ranks: int,
) -> CellArithmetic:
    """Each of `num_ranks` updates.

    Raises:
        ValueError: A step would have fewer operations than none, as those of a model can that
            do not grow with its tokens.
    """
    sizes = [unit.num_parameters for unit in trace.units]
    costs = operations.costs
    measured: defaultdict[int, Extent] = defaultdict(Extent)
    last = max(row.step for row in trace.steps)
    for measurement in trace.measurements:
        step = min(measurement.step, last)
        measured[step] = measured[step].plus(measurement.computed)
    steps = []
    for row in trace.steps:
        found: Counter[str] = Counter()
        computed, needed = _known(row.computed), _known(row.needed)
        if row.step < 0:
            found["probing"] = costs[PROBING].passes(computed)
        else:
            selection = trace.selections[row.period]
            cost = costs[cost_class(selection.units, sizes, selection.observed or ())]
            found["useful"] = cost.passes(needed) - cost.recomputation(needed)
            found["recomputation"] = cost.recomputation(computed)
            found["padding"] = cost.passes(computed) - found["recomputation"] - found["useful"]
            found["updates"] = cost.update * num_ranks
        if row.step in measured:
            found["measuring"] = costs[MEASURING].passes(measured[row.step])
        steps.append(found)
    if any(min(step.values(), default=0) < 0 for step in steps):
        raise ValueError(
            "the operations of small batches, up to "
            f"{100 * operations.deviation:.0f} % off on larger ones, say nothing of a step's"
        )
    return CellArithmetic(steps, operations.uncounted, operations.deviation)


def _known(extent: Extent | None) -> Extent:
    assert extent is not None, "a step of the trace has its batch's extent"
    return extent
