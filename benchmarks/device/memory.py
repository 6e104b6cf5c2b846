"""The stage that compares plans with what the device takes, by phase, and measures the allowance."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from statistics import median
from typing import Any

import torch

from benchmarks.device import nvml
from benchmarks.device.cells import cell, model
from benchmarks.device.setting import NotHere, Row, Setting, attempt, release
from lwft_bench.dry_run.planned_selections import PlannedSelections
from lwft_bench.dry_run.steps import BatchShape
from lwft_bench.planning.budget import CONTEXT_BYTES, FRAGMENTED_SHARE, WORKSPACE_BYTES
from lwft_bench.planning.plan import Needed, Planner, needed
from lwft_bench.planning.verification import as_planned, measured_peak
from lwft_bench.schema.cell import Cell
from lwft_bench.strategies.base import Needs

LEFT_FOR_SUMMARY = 6.0
PUBLISHED_GB = {"grass 1 x 1024": 19.1, "fft 1 x 1024": 51.3, "grass 1 x 1792": 23.25}
"""GRASS's figures for LLaMA-2-7B, at the batch that fits them best (docs/plan.md)."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What is planned and measured. units: the selection, alone; None: all that a plan runs."""

    method: str
    rows: int
    length: int
    units: tuple[int, ...] | None = None
    note: str = ""
    checkpointing: bool = False

    @property
    def name(self) -> str:
        return f"{self.method} {self.rows} x {self.length}{self.note}"


@dataclass(frozen=True, slots=True)
class Planned:
    shapes: tuple[BatchShape, ...]
    drawn: PlannedSelections
    needed: Needed


def kinds(setting: Setting, num_layers: int) -> list[Kind]:
    """The first ones are those that tell most, should time run out."""
    lengths = (16, 32) if setting.rehearse else (1024, 1792)
    short, long = lengths
    lowest, highest = (0, 1), (num_layers - 2, num_layers - 1)
    found = []
    for rows in (1, 4):
        found += [
            Kind("grass", rows, short),
            Kind("fft", rows, short),
            Kind("fft", rows, short, note=", checkpointing", checkpointing=True),
            Kind("lora-r128", rows, short),
            Kind("lisa", rows, short),
            Kind("grass", rows, short, lowest, ", lowest layers"),
            Kind("grass", rows, short, highest, ", highest layers"),
            Kind("grass-no-offload", rows, short),
            Kind("dora", rows, short),
        ]
    first, rest = found[:9], ([] if setting.rehearse else found[9:])
    return [*first, Kind("grass", 1, long), Kind("lora-r128", 1, long), *rest]


def made(kind: Kind, rehearse: bool) -> Cell:
    options: dict[str, Any] = {"checkpointing": kind.checkpointing}
    if rehearse:
        options["steps"] = 20
    shape = model("llama-2-7b", rehearse=rehearse)
    return cell(kind.method, shape, kind.rows, kind.length, **options)


def planned(kind: Kind, rehearse: bool) -> Planned:
    """On fake tensors: no device is touched."""
    one, planner = made(kind, rehearse), Planner(num_samples=1)
    if kind.units is None:
        found = planner.plan(one)
        if found.needed is None:
            raise NotHere(str(found.problem))
        return Planned(found.batch.shapes, found.drawn, found.needed)
    tokens = kind.rows * (kind.length - 1)
    shapes = (BatchShape(kind.rows, kind.length, tokens),)
    drawn = PlannedSelections((kind.units,), (kind.units,), planner.draws(one).visited, Needs())
    return Planned(shapes, drawn, needed(one, shapes, drawn, 0))


def run(setting: Setting) -> Iterator[Row]:
    config = model("llama-2-7b", rehearse=setting.rehearse).config
    assert config is not None
    wanted = kinds(setting, config["num_hidden_layers"])
    before = nvml.used_bytes() if setting.device != "cpu" else None
    if before is not None:
        torch.zeros(1, device=setting.device)
    rows: list[Row] = []
    with _planning(setting, wanted) as plans:
        for kind, plan in zip(wanted, plans, strict=True):
            if setting.left() < LEFT_FOR_SUMMARY:
                break
            row = attempt(
                "planned and measured", kind.name, partial(_row, setting, kind, plan, before)
            )
            release(setting.device)
            phases = row.pop("phases", {})
            rows.append(row)
            yield row
            yield from _by_phase(kind, phases)
    yield from _allowance(rows)
    yield from _published(rows)


@contextmanager
def _planning(setting: Setting, wanted: list[Kind]) -> Iterator[list[Callable[[], Planned]]]:
    """Plans to be asked for, made by other processes meanwhile where there are any."""
    if not setting.planners:
        yield [partial(planned, kind, setting.rehearse) for kind in wanted]
        return
    pool = ProcessPoolExecutor(
        setting.planners, mp_context=get_context("spawn"), initializer=_without_device
    )
    try:
        yield [pool.submit(planned, kind, setting.rehearse).result for kind in wanted]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _without_device() -> None:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    torch.set_num_threads(1)


def _row(setting: Setting, kind: Kind, plan: Callable[[], Planned], before: int | None) -> Row:
    found, device = plan(), torch.device(setting.device)
    release(setting.device)
    measured = measured_peak(made(kind, setting.rehearse), found.shapes, found.drawn, device)
    on_cpu = device.type == "cpu"
    expected = found.needed.peak_bytes if on_cpu else found.needed.rounded_peak_bytes
    row: Row = {
        "planned_bytes": expected,
        "allocated_bytes": measured.allocated,
        "difference_share": measured.allocated / expected - 1,
        "passed": as_planned(expected, measured, device),
        "phases": {
            name: (found.needed.phases[name], peak)
            for name, peak in measured.phases.items()
            if name in found.needed.phases
        },
    }
    if on_cpu:
        return row
    module = torch.get_device_module(device)
    gc.collect()  # the model, which hooks refer to; what the allocator reserved stays reserved
    row |= {"reserved_bytes": measured.reserved}
    if device.type == "cuda":
        # What the libraries took for themselves is still there.
        row |= {"workspaces_bytes": module.memory_allocated()}
    used = nvml.used_bytes()
    if used is not None and before is not None:
        # The allocator keeps what it reserved, so the peak can be read afterwards.
        row |= {
            "on_device_bytes": used - before,
            "context_bytes": used - before - module.memory_reserved(),
        }
    return row


def _by_phase(kind: Kind, phases: dict[str, tuple[int, int]]) -> Iterator[Row]:
    for name, (expected, peak) in phases.items():
        yield {
            "table": "by phase",
            "what": kind.name,
            "phase": name,
            "planned_bytes": expected,
            "allocated_bytes": peak,
            "difference_share": peak / expected - 1,
        }


def _allowance(rows: list[Row]) -> Iterator[Row]:
    """The allowance as measured beside its constants, which nobody but a person changes."""
    table = "allowance: measured beside lwft_bench/planning/budget.py"
    fragmented = [
        row["reserved_bytes"] / row["allocated_bytes"] - 1
        for row in rows
        if row.get("reserved_bytes")
    ]
    for what, key, constant in (
        ("CONTEXT_BYTES", "context_bytes", CONTEXT_BYTES),
        ("WORKSPACE_BYTES", "workspaces_bytes", WORKSPACE_BYTES),
    ):
        found = [row[key] for row in rows if key in row]
        spread = {"median_bytes": int(median(found)), "most_bytes": max(found)} if found else {}
        yield {"table": table, "what": what, "constant_bytes": constant, **spread}
    spread = (
        {"median_share": median(fragmented), "most_share": max(fragmented)} if fragmented else {}
    )
    yield {"table": table, "what": "FRAGMENTED_SHARE", "constant_share": FRAGMENTED_SHARE, **spread}


def _published(rows: list[Row]) -> Iterator[Row]:
    for row in rows:
        if row["what"] in PUBLISHED_GB and "allocated_bytes" in row:
            yield {
                "table": "beside GRASS's published figures, in GB",
                "what": row["what"],
                "published_gb": PUBLISHED_GB[row["what"]],
                "planned_gb": row["planned_bytes"] / 1e9,
                "allocated_gb": row["allocated_bytes"] / 1e9,
                **({"reserved_gb": row["reserved_bytes"] / 1e9} if "reserved_bytes" in row else {}),
            }
