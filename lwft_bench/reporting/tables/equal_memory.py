"""What is best within each method's peak memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.estimates import Estimate
from lwft_bench.reporting.numbers.families import Judged
from lwft_bench.reporting.numbers.measurements import DIFFERENT, memories, peak_bytes
from lwft_bench.reporting.numbers.rows import Row
from lwft_bench.reporting.numbers.statistics import mean_over_seeds
from lwft_bench.reporting.numbers.verdicts import (
    Pair,
    between_in_both,
    compared_with_baseline,
    not_separable,
)
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Column, Table, tabulate
from lwft_bench.reporting.tables.leading import about
from lwft_bench.reporting.tables.statistics_notes import left_out
from lwft_bench.schema.suite import AVERAGE

_NOTE = (
    "Each row takes one method's peak memory (the largest over seeds) as the budget; the best are "
    "chosen among it and those of the rows above, at equal steps, not equal operations. "
    "Beside the best stand all that are not separable from it (Holm's correction for all pairs of "
    "methods in both columns): the best of several looks better than it is. "
    "±: one standard error, of losses over seeds."
)


@dataclass(frozen=True)
class _Best:
    """What is best of some methods.

    ties: others that are not separable from it; None if unknown. others: how many there are.
    """

    label: str
    estimate: Estimate
    ties: tuple[str, ...] | None
    others: int

    def named(self, shown: str) -> str:
        """With its number and what ties with it."""
        if self.ties is None:
            return f"{self.label} {shown} (undecided: one seed)"
        if not self.ties:
            return f"{self.label} {shown}"
        everything = 1 < len(self.ties) == self.others
        named = f"all {self.others} others" if everything else show.listing(self.ties)
        return f"{self.label} {shown}; not separable: {named}"


@dataclass(frozen=True)
class _Budget:
    """The peak memory of one method, the methods that fit within it, and the best of them."""

    owner: str
    num_bytes: int
    fitting: tuple[Row, ...]
    lowest_loss: _Best | None
    best_average: _Best | None


def build(context: Context) -> Table | None:
    """None if all methods need the same."""
    trained, others = compared_with_baseline(context.comparison)
    peaks = [(peak, row) for row in trained if (peak := peak_bytes(row)) is not None]
    peaks.sort(key=lambda pair: pair[0])
    if not peaks or peaks[-1][0] <= DIFFERENT * peaks[0][0]:
        return None
    rows = [row for _, row in peaks]
    obtained = show.listing(
        list(dict.fromkeys(one.method for row in rows for one in memories(row)))
    )
    return tabulate(
        context.name("equal_memory"),
        context.title("at equal memory"),
        _budgets(context, peaks),
        [*about(context), *_COLUMNS],
        notes=[f"{_NOTE} Memory: {obtained}.", *left_out(others)],
    )


def _budgets(context: Context, peaks: Sequence[tuple[int, Row]]) -> Iterator[_Budget]:
    rows = [row for _, row in peaks]
    losses = {row.label: found for row in rows if (found := _losses(row))}
    scored = [row for row in rows if AVERAGE in row.accuracy]
    by_average, by_loss = between_in_both(context.comparison, scored, losses)
    averages = {row.label: row.accuracy[AVERAGE] for row in scored}
    means = {label: mean_over_seeds([*found.values()]) for label, found in losses.items()}
    for budget, owner in peaks:
        fitting = tuple(row for peak, row in peaks if peak <= budget)
        labels = [row.label for row in fitting]
        yield _Budget(
            owner.label,
            budget,
            fitting,
            _best({label: means[label] for label in labels if label in means}, by_loss, -1),
            _best({label: averages[label] for label in labels if label in averages}, by_average, 1),
        )


def _best(found: dict[str, Estimate], pairs: Mapping[Pair, Judged], sign: int) -> _Best | None:
    """sign: 1 where more is better, else -1."""
    if not found:
        return None
    best = max(found, key=lambda label: sign * found[label].mean)
    own = [pairs[best, other] for other in found if (best, other) in pairs]
    known = len(found) == 1 or any(one.adjusted is not None for one in own)
    ties = tuple(not_separable(best, [*found], pairs)) if known else None
    return _Best(best, found[best], ties, len(found) - 1)


def _losses(row: Row) -> dict[int, float]:
    return {
        result.seed: result.training.validation_loss_after
        for result in row.results
        if result.training and result.training.validation_loss_after is not None
    }


def _methods(budget: _Budget) -> list[str]:
    return [row.label for row in budget.fitting]


def _plain(what: str) -> dict[str, Callable[[_Best], Any]]:
    return {
        f"{what}_of": lambda best: best.label,
        what: lambda best: best.estimate.mean,
        f"{what}_not_separable": lambda best: None if best.ties is None else ", ".join(best.ties),
    }


_COLUMNS: list[Column[_Budget]] = [
    Column("within the memory of", lambda budget: budget.owner, plain="budget_of"),
    Column("peak memory", lambda budget: budget.num_bytes, show.memory, "budget_bytes"),
    Column("methods that fit", _methods, lambda fitting: str(len(fitting)), {"methods": ", ".join}),
    Column(
        "lowest validation loss",
        lambda budget: budget.lowest_loss,
        lambda best: best.named(show.losses(best.estimate)),
        _plain("lowest_validation_loss"),
        text=True,
    ),
    Column(
        "best average",
        lambda budget: budget.best_average,
        lambda best: best.named(show.accuracy(best.estimate)),
        _plain("best_average"),
        text=True,
    ),
]
