"""A cell's third step: from what training did to the figures of its result."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass
from typing import Any

from lwft_bench.cell.arithmetic import CellArithmetic, cell_arithmetic
from lwft_bench.cell.loading import Loaded
from lwft_bench.cell.measurements import memory, throughput, training_summary
from lwft_bench.cell.model_confounds import model_confounds
from lwft_bench.cell.training import Trained
from lwft_bench.data.extents import computed_extent
from lwft_bench.dry_run.dry_run import DryRun, dry_run
from lwft_bench.dry_run.operations import count_operations
from lwft_bench.dry_run.steps import BatchShape
from lwft_bench.schema.result import Engagement, Memory, Throughput, Training
from lwft_bench.schema.rows import SelectionHeader, SelectionRow, StepRow
from lwft_bench.training.engagement import judge


@dataclass(frozen=True, slots=True)
class Measured:
    """What training did, counted and judged."""

    engagement: Engagement
    memory: Memory
    throughput: Throughput
    training: Training
    steps: tuple[StepRow, ...]
    header: SelectionHeader
    selections: tuple[SelectionRow, ...]
    model_confounds: dict[str, Any]


def measure(loaded: Loaded, trained: Trained) -> Measured:
    """Counts the memory and operations of what was trained, and judges whether it did what it says."""
    cell, trace, assembly = loaded.cell, trained.trace, trained.assembly
    engagement = judge(
        trace,
        assembly.groups,
        assembly.store,
        cell.method,
        trained.frozen_unchanged,
        selection_varies=trained.strategy.varies,
    )
    planned = _plan(loaded, trained)
    arithmetic = _arithmetic(loaded, trained, planned)
    host_peak = _host_peak_bytes()
    return Measured(
        engagement=engagement,
        memory=memory(planned, trained.account, assembly, loaded.device, host_peak),
        throughput=throughput(trace, arithmetic),
        training=training_summary(trace, arithmetic, assembly, loaded.train, loaded.num_empty),
        steps=tuple(arithmetic.rows(trace.step_rows())),
        header=trace.header,
        selections=tuple(trace.selections),
        model_confounds=model_confounds(cell, trained.traits),
    )


def _plan(loaded: Loaded, trained: Trained) -> DryRun:
    """The dry run of what this cell did: its longest batch, its selections."""
    return dry_run(
        loaded.cell,
        [BatchShape.of(batch) for batch in trained.order.largest_share()],
        [row.units for row in trained.trace.selections],
        trained.strategy.needs,
        trained.traits,
    )


def _arithmetic(loaded: Loaded, trained: Trained, planned: DryRun) -> CellArithmetic:
    """The operations of each step, from small batches run through the trained model."""
    trace, assembly = trained.trace, trained.assembly
    operations = count_operations(
        assembly,
        loaded.device,
        [row.units for row in trace.selections],
        trained.strategy.needs,
        planned,
    )
    longest = computed_extent(trained.order.largest_share())
    return cell_arithmetic(trace, operations, planned, longest, assembly.ranks.world)


def _host_peak_bytes() -> int:
    """Peak resident set of this process; the kernel counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
