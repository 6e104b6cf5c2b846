"""A cell's third step: from what training did to the figures of its result."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from lwft_bench.cell.arithmetic import CellArithmetic, cell_arithmetic
from lwft_bench.cell.loading import Loaded
from lwft_bench.cell.measurements import memory_record, throughput, training_summary
from lwft_bench.cell.model_confounds import model_confounds
from lwft_bench.cell.outcomes import one_line
from lwft_bench.cell.training import Trained
from lwft_bench.data.extents import computed_extent
from lwft_bench.dry_run.dry_run import DryRun, dry_run
from lwft_bench.dry_run.fake_cell import CPU, fake_cell
from lwft_bench.dry_run.operations import Selected, count_operations
from lwft_bench.dry_run.steps import BatchShape
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import described
from lwft_bench.schema.result import Engagement, Memory, Throughput, Training
from lwft_bench.schema.rows import SelectionHeader, SelectionRow, StepRow
from lwft_bench.training.engagement import judge

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Measured:
    """What training did, counted and judged."""

    engagement: Engagement | None
    memory: Memory | None
    throughput: Throughput
    training: Training
    steps: tuple[StepRow, ...]
    header: SelectionHeader
    selections: tuple[SelectionRow, ...]
    missing: dict[str, str]
    """Figures that could not be had -> why, in one line."""
    model_confounds: dict[str, Any]
    """What the model itself does that other models do not."""


def measure(loaded: Loaded, trained: Trained) -> Measured:
    """Counts the memory and operations of what was trained, and judges whether it did what it says.

    What fails in that costs its own figure: the reason is among the `missing`.
    """
    trace, assembly = trained.trace, trained.assembly
    missing: dict[str, str] = {}
    engagement = _attempt("engagement", missing, lambda: _judge(loaded.cell, trained))
    planned = _attempt("memory", missing, lambda: _plan(loaded, trained))
    arithmetic = None
    if planned is None:
        missing["operations"] = missing["memory"]
    else:
        count = partial(_arithmetic, loaded, trained, planned)
        arithmetic = _attempt("operations", missing, count)
    steps = trace.step_rows()
    if unplannable := loaded.cell.training.unplannable:  # arithmetic is that of plain layers
        missing["memory"], planned = unplannable, None
    peaks = memory_record(planned, trained.account, assembly, loaded.device)
    if planned is None and peaks is not None:
        missing["memory by component"] = missing.pop("memory")
    return Measured(
        engagement=engagement,
        memory=peaks,
        throughput=throughput(trace, arithmetic, trained.load),
        training=training_summary(trace, arithmetic, assembly, loaded.train, loaded.num_empty),
        steps=tuple(arithmetic.rows(steps)) if arithmetic else tuple(steps),
        header=trace.header,
        selections=tuple(trace.selections),
        missing=missing,
        model_confounds=model_confounds(loaded.cell, trained.traits),
    )


def _attempt(figure: str, missing: dict[str, str], make: Callable[[], Made]) -> Made | None:
    """What `make` gives; None where it fails, with the reason noted and the traceback in the log."""
    try:
        return make()
    except Exception as error:
        traceback.print_exc()
        missing[figure] = one_line(described(error))
        return None


def _judge(cell: Cell, trained: Trained) -> Engagement:
    assembly = trained.assembly
    return judge(
        trained.trace,
        assembly.groups,
        assembly.store,
        cell.method,
        trained.frozen_unchanged,
        selection_varies=trained.strategy.varies,
    )


def _plan(loaded: Loaded, trained: Trained) -> DryRun:
    """The dry run of what this cell did: its longest batch, its selections."""
    return dry_run(
        loaded.cell,
        [BatchShape.of(batch) for batch in trained.order.largest_share()],
        [row.units for row in trained.trace.selections],
        trained.strategy.needs,
        trained.traits,
        observed=[row.observed or () for row in trained.trace.selections],
    )


def _arithmetic(loaded: Loaded, trained: Trained, planned: DryRun) -> CellArithmetic:
    """The operations of each step, from small batches run through the trained model; of one that is
    shared out, whose other ranks would have to run them too, through its like without values.
    """
    trace, assembly = trained.trace, trained.assembly
    selections = [Selected(row.units, row.observed or ()) for row in trace.selections]
    needs = trained.strategy.needs
    longest = computed_extent(trained.order.largest_share())
    if assembly.shards.world > 1:
        shapes = [BatchShape.of(batch) for batch in trained.order.largest_share()]
        with fake_cell(loaded.cell, shapes, traits=trained.traits) as fake:
            operations = count_operations(fake.assembly, CPU, selections, needs, planned, longest)
    else:
        device = loaded.device
        operations = count_operations(assembly, device, selections, needs, planned, longest)
    return cell_arithmetic(trace, operations, assembly.ranks.world)
