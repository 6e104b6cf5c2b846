"""From what a cell did to the numbers in its result."""

from __future__ import annotations

import os
import resource
import sys
from typing import Any

import numpy as np
import torch

from lwft_bench.cell.arithmetic import CellArithmetic
from lwft_bench.data.batching import TokenisedExamples
from lwft_bench.dry_run.dry_run import DryRun
from lwft_bench.memory.load import nvml_handle
from lwft_bench.memory.meters import Account, PhasePeaks
from lwft_bench.optimizers.base import Optimizer
from lwft_bench.plugins.registry import adapters, optimizers, strategies
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.load import Load
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.result import Memory, Throughput, Training
from lwft_bench.schema.rows import StepRow
from lwft_bench.schema.units import ChunkUnits
from lwft_bench.state.precision import Precision, precision_of
from lwft_bench.training.assembly import Assembly
from lwft_bench.training.rounding import lost_periods
from lwft_bench.training.trace import Trace

PLANNED = (
    "The step on fake tensors with the longest batch, one for each lowest layer selected; "
    "temporaries within a kernel not counted"
)


def memory_record(
    planned: DryRun | None, account: Account, assembly: Assembly, device: torch.device
) -> Memory | None:
    """Peak device memory: the allocator's where there is one, else the dry run's.

    Components always come from the dry run: an allocator does not know them. Without a dry run there
    are none; and without an allocator either, no figure at all.
    """
    report = planned.memory if planned else None
    shared: dict[str, Any] = {
        "components": report.components if report else {},
        "component_peaks": report.component_peaks if report else {},
        "host_peak_bytes": _host_peak_bytes(),
        "offloaded_bytes": assembly.store.host_bytes,
        "step": planned.step if planned else None,
    }
    if isinstance(account, PhasePeaks):
        return Memory(
            method="allocator",
            peak_bytes=max(account.peaks.values()),
            phases=account.peaks,
            reserved_bytes=account.reserved,
            process_bytes=process_bytes(device),
            note=f"Components are accounted. {PLANNED}" if report else "",
            **shared,
        )
    if report is None:
        return None
    return Memory(
        method="accounted",
        peak_bytes=report.peak_bytes,
        phases=report.phases,
        note=PLANNED,
        **shared,
    )


def _host_peak_bytes() -> int:
    """Peak resident set of this process; the kernel counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def process_bytes(device: torch.device) -> int | None:
    """NVML's figure for this process on the device now; None where there is no NVML."""
    import pynvml

    if (handle := nvml_handle(device)) is None:
        return None
    try:
        processes = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except pynvml.NVMLError:
        return None
    return next((p.usedGpuMemory for p in processes if p.pid == os.getpid()), None)


def throughput(trace: Trace, arithmetic: CellArithmetic | None, load: Load) -> Throughput:
    """Speed over the timed training steps (each carries the mean time of its reading interval), and
    over all that the method takes.
    """
    timed = [row for row in trace.steps if row.timed]
    steady = timed or trace.steps
    training = [row for row in trace.steps if row.step >= 0]
    flops = None
    if arithmetic is not None:
        every = zip(trace.steps, arithmetic.flops, strict=True)
        flops = sum(flops for row, flops in every if row.timed or not timed)
    seconds = np.array([row.seconds for row in steady])
    total = float(seconds.sum())
    low, middle, high = np.quantile(seconds, [0.25, 0.5, 0.75])
    training_seconds = sum(row.seconds for row in training)
    probing_seconds = sum(row.seconds for row in trace.steps if row.step < 0)
    measuring_seconds = sum(row.seconds for row in trace.measurements)
    switching_seconds = sum(row.seconds for row in trace.switches)
    everything = training_seconds + probing_seconds + measuring_seconds + switching_seconds
    return Throughput(
        target_tokens_per_second=sum(row.target_tokens for row in steady) / total,
        tokens_per_second=sum(row.tokens for row in steady) / total,
        end_to_end_target_tokens_per_second=sum(row.target_tokens for row in training) / everything,
        end_to_end_tokens_per_second=sum(row.tokens for row in training) / everything,
        step_seconds_median=float(middle),
        step_seconds_iqr=(float(low), float(high)),
        num_steps_timed=len(timed),
        probing_seconds=probing_seconds,
        training_seconds=training_seconds,
        measuring_seconds=measuring_seconds,
        switching_seconds=switching_seconds,
        evaluation_seconds=0.0,
        flops_per_second=None if flops is None else flops / total,
        threads=torch.get_num_threads(),
        load=load,
    )


def training_summary(
    trace: Trace,
    arithmetic: CellArithmetic | None,
    assembly: Assembly,
    examples: TokenisedExamples,
    num_empty: int,
) -> Training:
    """Everything about training that could differ between methods, counted."""
    training = [row for row in trace.steps if row.step >= 0]
    losses = np.array([row.loss for row in training])
    always = sum(group.num_parameters for group in assembly.groups.always)
    sizes = [group.num_parameters for group in assembly.groups.units]
    active = [always + sum(sizes[u] for u in _units(trace, row)) for row in training]
    return Training(
        num_ranks=assembly.ranks.world,
        optimizer_steps=len(training),
        probing_steps=len(trace.steps) - len(training),
        target_tokens=sum(row.target_tokens for row in trace.steps),
        tokens=sum(row.tokens for row in trace.steps),
        flops=sum(arithmetic.flops) if arithmetic else None,
        operations=arithmetic.record if arithmetic else None,
        trained_parameters=assembly.store.trained_parameters,
        active_parameters_mean=float(np.mean(active)),
        total_parameters=assembly.adapter.num_parameters(assembly.model),
        first_loss=float(losses[0]),
        final_loss=float(losses[-max(1, len(losses) // 10) :].mean()),
        validation_loss_before=trace.validation[0].loss if trace.validation else None,
        validation_loss_after=trace.validation[-1].loss if trace.validation else None,
        loss_jump_at_switch=_loss_jump(trace, losses),
        surviving_update_share=assembly.store.surviving_update_share(),
        stuck_second_moment_share=assembly.store.stuck_second_moment_share(),
        truncated_examples=examples.num_truncated,
        dropped_examples=examples.num_dropped,
        lost_to_rounding=lost_periods(trace, assembly.groups, assembly.store),
        empty_examples=num_empty,
    )


def confounds(cell: Cell, num_ranks: int) -> dict[str, Any]:
    """Everything that could differ between methods besides their name, as flat key -> value."""
    method, training = cell.method, cell.training
    precision = precision_of(training.precision, training.state_dtype)
    flat: dict[str, Any] = {
        "weights.dtype": _dtype(precision.weight),
        "gradients.dtype": _dtype(precision.weight),
        "state.dtype": optimizers.get(method.optimizer.name).state_dtype or _dtype(precision.state),
        "state.rounding": _rounding(precision, optimizers.get(method.optimizer.name)),
        "state.float32_master": precision.master,
        "state.policy": method.state_policy,
        "state.policy_of_always_trained": method.always_train_state_policy,
        "state.on_device": method.state_on_device,
        "always_train": method.always_train
        if method.always_train == "all"
        else ", ".join(method.always_train) or "nothing",
        "units": f"{method.units.chunks} chunks"
        if isinstance(method.units, ChunkUnits)
        else ", ".join(method.unit_kinds),
        "lr_clock": method.lr_clock,
        "step_counter": method.step_counter,
        "lr_warmup_after_selection": method.lr_warmup_after_selection,
        "unselected": _unselected(method),
    }
    for kind, named, registry in (
        ("adapter", method.adapter, adapters),
        ("strategy", method.strategy, strategies),
        ("optimizer", method.optimizer, optimizers),
    ):
        options = registry.options(named).model_dump(mode="json")
        flat[kind] = named.name
        flat |= {f"{kind}.{key}": value for key, value in options.items()}
    skipped = {"device", "threads", "checkpoint_every", "stream_seeds", "clip", "validate_every"}
    skipped.add("state_dtype")  # state.dtype and state.rounding say what it comes to
    for key, value in training.as_recorded(skipped).items():
        flat[f"training.{key}"] = value
    clip = training.clip
    flat["training.ranks"] = num_ranks
    flat["training.clip"] = "none" if clip.mode == "none" else f"{clip.mode} {clip.max_norm}"
    return flat


def _rounding(precision: Precision, optimizer: type[Optimizer]) -> str:
    """Of moments: how what is worked out in more digits is brought to their dtype."""
    if optimizer.state_dtype is not None:
        return "its own"
    if precision.state == torch.float32:
        return "none"
    return "stochastic" if precision.state_stochastic else "nearest"


def _unselected(method: MethodConfig) -> str:
    """What moves the units that are not selected."""
    rule = method.unselected
    return f"{rule.optimizer.name} x {rule.lr_scale:g}, {rule.range}" if rule else "unmoved"


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _units(trace: Trace, row: StepRow) -> tuple[int, ...]:
    return trace.selections[row.period].units


def _loss_jump(trace: Trace, losses: np.ndarray) -> float | None:
    """Mean over switches of the loss of the first step after minus that of the last step before."""
    changes = zip(trace.selections, trace.selections[1:], strict=False)
    jumps = [
        losses[after.step] - losses[after.step - 1]
        for before, after in changes
        if before.units != after.units
    ]
    return float(np.mean(jumps)) if jumps else None
