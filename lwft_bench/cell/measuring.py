"""A cell's third step: from what training did to the figures of its result."""

from __future__ import annotations

import resource
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from lwft_bench.cell.loading import Loaded
from lwft_bench.cell.measurements import memory, step_flops, throughput, training_summary
from lwft_bench.cell.outcomes import one_line
from lwft_bench.cell.training import Trained
from lwft_bench.dry_run.dry_run import DryRun, dry_run
from lwft_bench.dry_run.steps import BatchShape
from lwft_bench.schema.cell import Cell
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


def measure(loaded: Loaded, trained: Trained) -> Measured:
    """Counts the memory and operations of what was trained, and judges whether it did what it says.

    What fails in that costs its own figure: the reason is among the `missing`.
    """
    trace, assembly, order = trained.trace, trained.assembly, trained.order
    missing: dict[str, str] = {}
    engagement = _attempt("engagement", missing, lambda: _judge(loaded.cell, trained))
    planned = _attempt("operations", missing, lambda: _plan(loaded, trained))
    steps = trace.step_rows()
    if planned is not None:
        flops = step_flops(trace, planned, assembly, order)
        steps = [
            row.model_copy(update={"flops": round(done)})
            for row, done in zip(steps, flops, strict=True)
        ]
    account, host_peak = trained.account, _host_peak_bytes()
    measured = memory(planned, account, assembly, loaded.device, host_peak)
    if planned is None:
        missing["memory" if measured is None else "memory by component"] = missing["operations"]
    return Measured(
        engagement=engagement,
        memory=measured,
        throughput=throughput(trace, planned, assembly, order),
        training=training_summary(trace, planned, assembly, order, loaded.train),
        steps=tuple(steps),
        header=trace.header,
        selections=tuple(trace.selections),
        missing=missing,
    )


def _attempt(figure: str, missing: dict[str, str], make: Callable[[], Made]) -> Made | None:
    """What `make` gives; None where it fails, with the reason noted and the traceback in the log."""
    try:
        return make()
    except Exception as error:
        traceback.print_exc()
        missing[figure] = one_line(f"{type(error).__name__}: {error}")
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
        own_logits=trained.assembly.loss.own_logits,
    )


def _host_peak_bytes() -> int:
    """Peak resident set of this process; the kernel counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
