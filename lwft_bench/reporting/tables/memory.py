"""The tables of what a run cost and what training did."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from lwft_bench.reporting.numbers.comparison import Comparison, Row
from lwft_bench.reporting.numbers.measurements import mean_or_none, memories, memory_note, trainings
from lwft_bench.reporting.read.records import flatten
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Table
from lwft_bench.results.schema import CellResult, Memory, Training

_MEMORY_NOTE = (
    "By phase: the peak while that phase runs. At the peak: what was there at the instant of the "
    "overall peak; these add up to it. Own peak: a component's largest size at any time; these "
    "need not coincide. Host: peak resident set of the whole process, imports and evaluation "
    "included."
)
_TRAINING_NOTE = (
    "Losses: mean over seeds; final: the last tenth of the steps. Loss jump at a switch: loss of "
    "the first step after minus the last before, mean over switches. Surviving updates: share of "
    "update elements that changed the stored weight. FLOP: forward and backward passes, probing "
    "included, from torch's counter on the traced step."
)


def memory_table(comparison: Comparison) -> Table | None:
    """Peak memory by phase and component, a column a method; None if none was recorded."""
    rows = [row for row in comparison.rows if memories(row)]
    if not rows:
        return None
    recorded = {row.label: [_quantities(found) for found in memories(row)] for row in rows}
    display = []
    for quantity in _union([one for found in recorded.values() for one in found]):
        largest = {
            label: max((one[quantity] for one in found if quantity in one), default=None)
            for label, found in recorded.items()
        }
        if any(largest.values()):
            shown = {label: show.memory(value) for label, value in largest.items()}
            display.append({"memory": " ".join(quantity).strip()} | shown)
    note = memory_note(comparison)
    return Table(
        name=f"memory{comparison.suffix}",
        title=f"{comparison.model} on {comparison.task}: memory",
        display=pd.DataFrame(display),
        values=_per_cell(comparison, rows, lambda result: result.memory),
        notes=(
            *([note] if note else []),
            _MEMORY_NOTE,
        ),
    )


def _quantities(found: Memory) -> dict[tuple[str, str], int]:
    """(group, name) -> bytes, of everything that was recorded."""
    single = {
        "peak": found.peak_bytes,
        "reserved by the caching allocator": found.reserved_bytes,
        "process (NVML, sampled)": found.process_bytes,
        "optimizer state offloaded to the host": found.offloaded_bytes,
        "host, peak resident set": found.host_peak_bytes,
    }
    groups = {
        "by phase:": found.phases,
        "at the peak:": found.components,
        "own peak:": found.component_peaks,
    }
    quantities = {(name, ""): value for name, value in single.items() if value is not None}
    for group, values in groups.items():
        quantities |= {(group, name.replace("_", " ")): value for name, value in values.items()}
    return quantities


def _union(recorded: Sequence[Mapping[tuple[str, str], int]]) -> list[tuple[str, str]]:
    """Every quantity that any cell has, group by group, each group in the order it was recorded."""
    every = dict.fromkeys(quantity for one in recorded for quantity in one)
    groups = dict.fromkeys(group for group, _ in every)
    order = ["peak", *(group for group in groups if group.endswith(":"))]
    order += [group for group in groups if group not in order]
    return sorted(every, key=lambda quantity: order.index(quantity[0]))


def training_table(comparison: Comparison) -> Table | None:
    """Steps, tokens, losses and the rest of what could differ; None if nothing was trained."""
    rows = [row for row in comparison.rows if trainings(row)]
    if not rows:
        return None
    display = [{"method": row.label} | _training_columns(trainings(row)) for row in rows]
    return Table(
        name=f"training{comparison.suffix}",
        title=f"{comparison.model} on {comparison.task}: training",
        display=pd.DataFrame(display),
        values=_per_cell(comparison, rows, lambda result: result.training),
        notes=(_TRAINING_NOTE,),
    )


def _training_columns(found: list[Training]) -> dict[str, str]:
    def mean(pick: Callable[[Training], float | None]) -> str:
        return show.small(mean_or_none([pick(one) for one in found]))

    probing = show.spread([one.probing_steps for one in found], str)
    steps = show.spread([one.optimizer_steps for one in found], str)
    share = mean_or_none([one.surviving_update_share for one in found])
    return {
        "steps": steps if probing == "0" else f"{steps} + {probing} probing",
        "target tokens": show.spread([one.target_tokens for one in found], show.count),
        "FLOP": show.spread([one.flops for one in found], show.flops),
        "loss, first → final": f"{mean(lambda one: one.first_loss)} → "
        f"{mean(lambda one: one.final_loss)}",
        "validation loss": f"{mean(lambda one: one.validation_loss_before)} → "
        f"{mean(lambda one: one.validation_loss_after)}",
        "loss jump at a switch": mean(lambda one: one.loss_jump_at_switch),
        "surviving updates": show.NOTHING if share is None else f"{100 * share:.1f} %",
        "truncated examples": show.spread([one.truncated_examples for one in found], str),
    }


def _per_cell(
    comparison: Comparison, rows: list[Row], pick: Callable[[CellResult], Memory | Training | None]
) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "model": comparison.model,
                "task": comparison.task,
                "method": row.label,
                "seed": result.seed,
            }
            | dict(flatten(recorded.model_dump()))
            for row in rows
            for result in row.results
            if (recorded := pick(result)) is not None
        ]
    )
