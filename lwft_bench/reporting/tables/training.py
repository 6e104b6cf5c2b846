"""Steps, tokens, losses and the rest of what could differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.measurements import mean_or_none, trainings
from lwft_bench.reporting.numbers.rows import Row
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Column, Table, tabulate
from lwft_bench.reporting.tables.per_cell import per_cell
from lwft_bench.schema.result import Training

_NOTE = (
    "Losses: mean over seeds; final: the last tenth of the steps. Loss jump at a switch: loss of "
    "the first step after minus the last before, mean over switches. Surviving updates: share of "
    "update elements that changed the stored weight. FLOP: forward and backward passes, probing "
    "included, from torch's counter on the traced step."
)
_EXACT = 0.01
"""Relative; counts that are no further off are not spoken of."""


def build(context: Context) -> Table | None:
    """None if nothing was trained."""
    rows = [row for row in context.comparison.rows if trainings(row)]
    if not rows:
        return None
    return tabulate(
        context.name("training"),
        context.title("training"),
        rows,
        [*_COLUMNS, *_LEFT_OUT * _any_left_out(rows)],
        notes=[_NOTE, *_inexact(rows)],
        values=per_cell(context, rows, lambda result: result.training),
    )


def _inexact(rows: list[Row]) -> Iterator[str]:
    """What is known of counts of operations that are not exact."""
    counted = {
        row.label: [one.operations for one in trainings(row) if one.operations] for row in rows
    }
    off = {
        label: max((one.deviation for one in its), default=0.0) for label, its in counted.items()
    }
    if names := [label for label, share in off.items() if share > _EXACT]:
        yield (
            f"FLOP of {show.listing(names)}: up to {100 * max(off.values()):.0f} % off on batches that "
            "were counted whole, since the model's operations do not grow with tokens and pairs alone."
        )
    lacking = {
        label: {name for one in its for name in one.uncounted} for label, its in counted.items()
    }
    if names := [label for label, operators in lacking.items() if operators]:
        operators = sorted(set().union(*lacking.values()))
        yield f"FLOP of {show.listing(names)}: too few, no formula is known for {', '.join(operators)}."


def _any_left_out(rows: list[Row]) -> bool:
    return any(one.dropped_examples for row in rows for one in trainings(row))


def _mean(pick: Callable[[Training], float | None]) -> Callable[[Row], float | None]:
    return lambda row: mean_or_none([pick(one) for one in trainings(row)])


def _spread(
    pick: Callable[[Training], float | None], shown: Callable[[float], str]
) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        values = [value for one in trainings(row) if (value := pick(one)) is not None]
        return show.spread(values, shown)

    return text


def _from_to(
    before: Callable[[Training], float | None], after: Callable[[Training], float | None]
) -> Callable[[Row], str]:
    return lambda row: f"{show.small(_mean(before)(row))} → {show.small(_mean(after)(row))}"


def _steps(row: Row) -> str:
    steps = _spread(lambda one: one.optimizer_steps, str)(row)
    probing = _spread(lambda one: one.probing_steps, str)(row)
    return steps if probing == "0" else f"{steps} + {probing} probing"


_COLUMNS: list[Column[Row]] = [
    Column("method", lambda row: row.label),
    Column("steps", _steps),
    Column("target tokens", _spread(lambda one: one.target_tokens, show.count)),
    Column("FLOP", _spread(lambda one: one.flops, show.flops)),
    Column("loss, first → final", _from_to(lambda one: one.first_loss, lambda one: one.final_loss)),
    Column(
        "validation loss",
        _from_to(lambda one: one.validation_loss_before, lambda one: one.validation_loss_after),
    ),
    Column("loss jump at a switch", _mean(lambda one: one.loss_jump_at_switch), show.small),
    Column(
        "surviving updates",
        _mean(lambda one: one.surviving_update_share),
        lambda share: f"{100 * share:.1f} %",
    ),
    Column("truncated examples", _spread(lambda one: one.truncated_examples, str)),
]
_LEFT_OUT: list[Column[Row]] = [
    Column("examples left out", _spread(lambda one: one.dropped_examples, str)),
]
"""Where there are any."""
