"""Peak memory by phase and component, a column a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.measurements import memories
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Column, Table, tabulate
from lwft_bench.reporting.tables.measurement_notes import memory_note
from lwft_bench.reporting.tables.per_cell import per_cell
from lwft_bench.schema.result import Memory

_NOTE = (
    "By phase: the peak while that phase runs. At the peak: what was there at the instant of the "
    "overall peak; these add up to it. Own peak: a component's largest size at any time; these "
    "need not coincide. Host: peak resident set of the whole process, imports and evaluation "
    "included."
)
Quantity = tuple[str, str]
"""A group such as `by phase:`, and the name within it; a name alone has no group."""


def build(context: Context) -> Table | None:
    """None if none was recorded."""
    rows = [row for row in context.comparison.rows if memories(row)]
    if not rows:
        return None
    recorded = {row.label: [_quantities(found) for found in memories(row)] for row in rows}
    largest = {label: _largest(found) for label, found in recorded.items()}
    columns: list[Column[Quantity]] = [
        Column("memory", lambda quantity: " ".join(quantity).strip()),
        *(Column(label, partial(_of, found), show.memory) for label, found in largest.items()),
    ]
    quantities = _union([one for found in recorded.values() for one in found])
    note = memory_note(context.comparison)
    return tabulate(
        context.name("memory"),
        context.title("memory"),
        [one for one in quantities if any(_of(found, one) for found in largest.values())],
        columns,
        notes=[*([note] if note else []), _NOTE],
        values=per_cell(context, rows, lambda result: result.memory),
    )


def _of(largest: Mapping[Quantity, int], quantity: Quantity) -> int | None:
    return largest.get(quantity)


def _largest(found: Sequence[Mapping[Quantity, int]]) -> dict[Quantity, int]:
    """Over the seeds of a method."""
    return {
        quantity: max(one[quantity] for one in found if quantity in one)
        for quantity in dict.fromkeys(quantity for one in found for quantity in one)
    }


def _quantities(found: Memory) -> dict[Quantity, int]:
    """Bytes of everything that was recorded."""
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


def _union(recorded: Sequence[Mapping[Quantity, int]]) -> list[Quantity]:
    """Every quantity that any cell has, group by group, each group in the order it was recorded."""
    every = dict.fromkeys(quantity for one in recorded for quantity in one)
    groups = dict.fromkeys(group for group, _ in every)
    order = ["peak", *(group for group in groups if group.endswith(":"))]
    order += [group for group in groups if group not in order]
    return sorted(every, key=lambda quantity: order.index(quantity[0]))
