"""What offloading optimizer state costs in time, by staging memory, update mode and tokens a step.

Modelled, for LLaMA-2-7B's shape in bf16 with two of its layers selected, on an accelerator whose
rates stand below; nothing was measured on one. Writes docs/figures/offload.png and prints the tables
of docs/offload.md. Some three minutes:

    OMP_NUM_THREADS=1 python -m benchmarks.offload.figures
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

import lwft_bench.state.staging as staging
from benchmarks.offload.modelled import DeviceModel
from benchmarks.offload.timeline import StepTime, step_time
from lwft_bench.dry_run.steps import BatchShape
from lwft_bench.schema.cell import Cell, EvaluationConfig, TaskConfig, TrainingConfig
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.shipped import shipped
from lwft_bench.suites.architectures import read_architecture
from lwft_bench.suites.entries import read_card

DEVICE = DeviceModel(flops_per_second=150e12, bandwidth=25e9, memory_bandwidth=1.5e12)
UNITS = (10, 20)
FIGURE = Path(__file__).parents[2] / "docs" / "figures" / "offload.png"
MODES = ("after_backward", "in_backward")
LENGTHS = (128, 256, 512, 1024)


def run(length: int = 512, state_on_device: Any = "none", **training: Any) -> StepTime:
    card = read_card(MethodConfig, shipped("methods")["grass"]).config
    cell = Cell(
        id="timeline",
        model=read_architecture("llama-2-7b").model,
        method=card.model_copy(update={"state_on_device": state_on_device}),
        task=TaskConfig(name="none", data="none", train_examples=1, benchmarks=()),
        training=TrainingConfig(steps=1, precision="bf16", **training),
        evaluation=EvaluationConfig(),
        seed=0,
    )
    return step_time(cell, [BatchShape(4, length, 2 * length)], UNITS, DEVICE)


def milliseconds(seconds: float) -> str:
    return f"{abs(seconds) * 1e3:.1f}"


def table(header: list[str], rows: Iterator[list[str]]) -> None:
    for row in [header, ["---:"] * len(header), *rows]:
        print("| " + " | ".join(row) + " |")
    print()


def by_tokens() -> dict[str, list[StepTime]]:
    found = {mode: [run(length, update=mode) for length in LENGTHS] for mode in MODES}
    table(
        [
            "tokens a step",
            "update",
            "step, ms",
            "exposed, ms",
            "least possible, ms",
            "exposed share",
        ],
        (
            [
                str(4 * length),
                mode,
                milliseconds(time.step),
                milliseconds(time.exposed),
                milliseconds(time.least_exposed),
                f"{time.exposed / time.step:.0%}",
            ]
            for mode in MODES
            for length, time in zip(LENGTHS, found[mode], strict=True)
        ),
    )
    return found


def by_staging() -> dict[str, list[tuple[float, StepTime]]]:
    found: dict[str, list[tuple[float, StepTime]]] = {mode: [] for mode in MODES}
    for mode in MODES:
        for mebibytes in (4, 8, 16, 32, 64):
            time = run(update=mode, bucket_bytes=mebibytes * 2**20)
            found[mode].append((staging.NUM_SLOTS * mebibytes, time))
    return found


def by_slots() -> None:
    """The same 96 MiB, cut into more or fewer slots."""
    default, rows = staging.NUM_SLOTS, []
    for slots in (3, 6, 12, 24):
        staging.NUM_SLOTS = slots
        times = [run(update=mode, bucket_bytes=96 * 2**20 // slots) for mode in MODES]
        rows.append([str(slots), *(milliseconds(time.exposed) for time in times)])
    staging.NUM_SLOTS = default
    table(["slots in 96 MiB", *(f"exposed {mode}, ms" for mode in MODES)], iter(rows))


def by_dial() -> list[tuple[float, StepTime]]:
    """What state that stays on the device buys."""
    rows = []
    for gigabytes in (0.0, 0.81, 1.62):
        place = "none" if gigabytes == 0 else int(gigabytes * 1e9)
        rows.append((gigabytes, run(update="in_backward", state_on_device=place)))
    table(
        ["state_on_device, GB", "state and staging, GB", "moved in, GB", "exposed, ms"],
        (
            [
                f"{gigabytes}",
                f"{device_state(time) / 1e9:.2f}",
                f"{time.transferred_bytes / 1e9:.2f}",
                milliseconds(time.exposed),
            ]
            for gigabytes, time in rows
        ),
    )
    return rows


def device_state(time: StepTime) -> int:
    peaks = time.memory.component_peaks
    return peaks.get("optimizer_state", 0) + peaks.get("staging", 0)


def figure(
    tokens: dict[str, list[StepTime]],
    staged: dict[str, list[tuple[float, StepTime]]],
    dial: list[tuple[float, StepTime]],
) -> None:
    plot, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    for mode, marker in zip(MODES, "os", strict=True):
        label = mode.replace("_", " ")
        sizes = [size for size, _ in staged[mode]]
        (line,) = left.plot(
            sizes, [t.exposed * 1e3 for _, t in staged[mode]], marker=marker, label=label
        )
        bound = [t.least_exposed * 1e3 for _, t in staged[mode]]
        left.plot(sizes, bound, linestyle=":", color=line.get_color())
        middle.plot(
            [4 * length for length in LENGTHS],
            [100 * t.exposed / t.step for t in tokens[mode]],
            marker=marker,
            label=label,
        )
    left.set(xlabel="staging memory (MiB)", ylabel="exposed time (ms a step)", xscale="log")
    left.set_xticks([24, 48, 96, 192, 384], ["24", "48", "96", "192", "384"])
    left.minorticks_off()
    left.set_title("2048 tokens a step; dotted: least possible", fontsize=9)
    left.legend()
    middle.set(xlabel="tokens a step", ylabel="exposed share of the step (%)", xscale="log")
    middle.set_xticks([4 * n for n in LENGTHS], [str(4 * n) for n in LENGTHS])
    middle.minorticks_off()
    middle.set_title("96 MiB of staging", fontsize=9)
    right.plot([device_state(t) / 1e9 for _, t in dial], [t.exposed * 1e3 for _, t in dial], "o-")
    right.set(xlabel="state and staging on the device (GB)", ylabel="exposed time (ms a step)")
    right.set_title("the dial state_on_device, in backward", fontsize=9)
    for axes in (left, middle, right):
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    FIGURE.parent.mkdir(exist_ok=True)
    plot.savefig(FIGURE, dpi=150)


if __name__ == "__main__":
    figure(by_tokens(), by_staging(), by_dial())
    by_slots()
