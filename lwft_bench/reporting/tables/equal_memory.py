"""What is best within each method's peak memory."""

from __future__ import annotations

from dataclasses import dataclass

from lwft_bench.reporting.numbers.comparison import Row
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.measurements import (
    DIFFERENT,
    mean_or_none,
    memories,
    peak_bytes,
    trainings,
)
from lwft_bench.reporting.numbers.statistics import Estimate
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Column, Table, tabulate
from lwft_bench.reporting.tables.leading import about
from lwft_bench.schema.suite import AVERAGE

_NOTE = (
    "Each row takes one method's peak memory as the budget; the best are chosen among the methods "
    "whose own peak (the largest over seeds) fits within it. Equal steps, not equal operations."
)


@dataclass(frozen=True)
class _Budget:
    """The peak memory of one method, and the methods that fit within it, the smallest first."""

    owner: str
    num_bytes: int
    fitting: tuple[Row, ...]

    @property
    def lowest_loss(self) -> tuple[str, float] | None:
        losses = {row.label: loss for row in self.fitting if (loss := _loss(row)) is not None}
        return min(losses.items(), key=lambda one: one[1], default=None)

    @property
    def best_average(self) -> tuple[str, Estimate] | None:
        scores = {row.label: row.accuracy[AVERAGE] for row in self.fitting if row.accuracy}
        return max(scores.items(), key=lambda one: one[1].mean, default=None)


def build(context: Context) -> Table | None:
    """None if all methods need the same."""
    trained = context.comparison.trained
    peaks = [(peak, row) for row in trained if (peak := peak_bytes(row)) is not None]
    peaks.sort(key=lambda pair: pair[0])
    if not peaks or peaks[-1][0] <= DIFFERENT * peaks[0][0]:
        return None
    obtained = show.listing(
        list(dict.fromkeys(one.method for _, row in peaks for one in memories(row)))
    )
    return tabulate(
        context.name("equal_memory"),
        context.title("at equal memory"),
        [
            _Budget(owner.label, budget, tuple(row for peak, row in peaks if peak <= budget))
            for budget, owner in peaks
        ],
        [*about(context), *_COLUMNS],
        notes=[f"{_NOTE} Memory: {obtained}."],
    )


def _loss(row: Row) -> float | None:
    return mean_or_none([one.validation_loss_after for one in trainings(row)])


def _methods(budget: _Budget) -> list[str]:
    return [row.label for row in budget.fitting]


_COLUMNS: list[Column[_Budget]] = [
    Column("within the memory of", lambda budget: budget.owner, plain="budget_of"),
    Column("peak memory", lambda budget: budget.num_bytes, show.memory, "budget_bytes"),
    Column("methods that fit", _methods, show.listing, {"methods": ", ".join}, text=True),
    Column(
        "lowest validation loss",
        lambda budget: budget.lowest_loss,
        lambda best: f"{best[0]} {best[1]:.4f}",
        {
            "lowest_validation_loss_of": lambda best: best[0],
            "lowest_validation_loss": lambda best: best[1],
        },
        text=True,
    ),
    Column(
        "best average",
        lambda budget: budget.best_average,
        lambda best: f"{best[0]} {show.accuracy(best[1])}",
        {"best_average_of": lambda best: best[0], "best_average": lambda best: best[1].mean},
        text=True,
    ),
]
