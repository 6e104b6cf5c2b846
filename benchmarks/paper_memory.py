"""The memory that GRASS publishes for LLaMA-2-7B against plans, over everything that it leaves open.

One setting must explain all figures together, since a single match proves nothing. Left open are
rows and tokens of a batch, checkpointing, whether embedding and head are trained with the layers,
decimal or binary units, and which draw is meant. Prints the tables of docs/plan.md:

    OMP_NUM_THREADS=1 python benchmarks/paper_memory.py
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product

from lwft_bench.planning.plan import Needed, Planner
from lwft_bench.schema.cell import Cell, EvaluationConfig, TaskConfig, TrainingConfig
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.shipped import shipped
from lwft_bench.suites.architectures import read_architecture
from lwft_bench.suites.entries import read_card

LONG = 1792
FITTED = {"state, resident": 1.63, "GRASS": 19.1, "full fine-tuning": 51.3, "GRASS at 1792": 23.25}
"""What a setting can explain. The state that stays with offloading is apart: here it is the staging
memory, which is a setting of its own (`training.bucket_bytes`) and the same in all of these."""
OFFLOADED = 0.14
LIMIT = 24.0
"""LoRA and DoRA are beyond it at 1792 tokens."""
BEYOND = ("lora-r128", "dora")
CLOSE = (0.02, 0.05)
"""Settings fit equally well if their largest residual is at most this above the best one's."""
ENDS = ("embed", "final_norm", "head")
DRAWS = ("cheapest", "mean", "dearest", "whole run")
"""Of one step, over what is drawn; or of the whole run, in which probing is."""


@dataclass(frozen=True, slots=True)
class Batch:
    rows: int
    tokens: int
    checkpointing: bool


@dataclass(frozen=True, slots=True)
class Setting:
    batch: Batch
    ends: bool
    unit: str
    draw: str


@cache
def planned(
    method: str, batch: Batch, ends: bool = False, *, steps: int = 1000, samples: int = 2
) -> Needed:
    card = read_card(MethodConfig, shipped("methods")[method]).config
    cell = Cell(
        id=method,
        model=read_architecture("llama-2-7b").model,
        method=card.model_copy(update={"always_train": ENDS}) if ends else card,
        task=TaskConfig(name="none", data="none", train_examples=1, benchmarks=()),
        training=TrainingConfig(
            steps=steps,
            batch_size=batch.rows,
            max_length=batch.tokens,
            precision="bf16",
            loss_on="all",
            checkpointing=batch.checkpointing,
        ),
        evaluation=EvaluationConfig(),
        seed=0,
    )
    found = Planner(num_samples=samples).plan(cell).needed
    assert found is not None
    return found


def resident_state(ends: bool) -> int:
    """Of one selection: a run of one step. No batch changes it."""
    batch = Batch(1, 256, True)
    needed = planned("grass-no-offload", batch, ends, steps=1, samples=0)
    return needed.component_peaks["optimizer_state"]


def peak(needed: Needed, draw: str) -> float:
    of_steps = needed.step_peaks
    by_draw = (of_steps.minimum, of_steps.mean, of_steps.maximum, needed.peak_bytes)
    return dict(zip(DRAWS, by_draw, strict=True))[draw]


def gigabytes(count: float, unit: str) -> float:
    return count / {"GB": 10**9, "GiB": 2**30}[unit]


def figures(setting: Setting) -> Iterator[float]:
    """In the order of `FITTED`, each planned when it is asked for."""
    batch, ends, unit = setting.batch, setting.ends, setting.unit
    long = Batch(batch.rows, LONG, batch.checkpointing)
    yield gigabytes(resident_state(ends), unit)
    yield gigabytes(peak(planned("grass", batch, ends), setting.draw), unit)
    yield gigabytes(planned("fft", batch).peak_bytes, unit)
    yield gigabytes(peak(planned("grass", long, ends), setting.draw), unit)


def figures_within(setting: Setting, at_most: float) -> dict[str, float] | None:
    """By the names of `FITTED`; None as soon as one is further off than that."""
    found = {}
    for (name, value), figure in zip(FITTED.items(), figures(setting), strict=True):
        found[name] = figure
        if abs(figure / value - 1) > at_most:
            return None
    return found


def fit(tried: list[Setting]) -> list[tuple[dict[str, float], Setting]]:
    """The settings that fit about as well as the best, the best first."""
    fitted: list[tuple[dict[str, float], Setting]] = []
    best = math.inf
    for one in tried:
        found = figures_within(one, best + max(CLOSE))
        if found is not None:
            fitted.append((found, one))
            best = min(best, largest(found))
    fitted = [(found, one) for found, one in fitted if largest(found) <= best + max(CLOSE)]
    return sorted(fitted, key=lambda pair: largest(pair[0]))


def settings(all_rows: list[int], all_tokens: list[int]) -> Iterator[Setting]:
    for checkpointing, ends, rows, tokens in product(
        (False, True), (False, True), all_rows, all_tokens
    ):
        for unit, draw in product(("GB", "GiB"), DRAWS):
            yield Setting(Batch(rows, tokens, checkpointing), ends, unit, draw)


def residuals(found: dict[str, float]) -> dict[str, float]:
    return {name: found[name] / value - 1 for name, value in FITTED.items()}


def largest(found: dict[str, float]) -> float:
    return max(map(abs, residuals(found).values()))


def beyond(setting: Setting) -> dict[str, float]:
    """LoRA's and DoRA's need at the sweep's end."""
    long = Batch(setting.batch.rows, LONG, setting.batch.checkpointing)
    return {method: gigabytes(planned(method, long).peak_bytes, setting.unit) for method in BEYOND}


def row(*values: str) -> None:
    print("| " + " | ".join(values) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--tokens", type=int, nargs="+", default=[256, 512, 768, 1024])
    parser.add_argument("--shown", type=int, default=8)
    arguments = parser.parse_args()
    tried = list(settings(arguments.rows, arguments.tokens))
    fitted = fit(tried)

    row("rows x tokens", "checkpointing", "ends trained", "draw", "unit", *FITTED, *BEYOND, "worst")
    row(*[":---"] * 5, *["---:"] * (len(FITTED) + len(BEYOND) + 1))
    published = (f"{value:g}" for value in FITTED.values())
    row("published", "", "", "", "GB", *published, *[f"> {LIMIT:g}"] * len(BEYOND), "")
    for found, one in fitted[: arguments.shown]:
        off = residuals(found)
        row(
            f"{one.batch.rows} x {one.batch.tokens}",
            "yes" if one.batch.checkpointing else "no",
            "yes" if one.ends else "no",
            one.draw,
            one.unit,
            *(f"{value:.2f} ({off[name]:+.0%})" for name, value in found.items()),
            *(f"{value:.1f}" for value in beyond(one).values()),
            f"{largest(found):.1%}",
        )

    best = largest(fitted[0][0])
    print(f"\n{len(tried)} settings; the best is off by {best:.1%} at most.")
    for close in CLOSE:
        as_well = [one for found, one in fitted if largest(found) <= best + close]
        over = sum(min(beyond(one).values()) > LIMIT for one in as_well)
        ranges = {
            name: sorted({str(getter(one)) for one in as_well})
            for name, getter in {
                "rows x tokens": lambda one: f"{one.batch.rows} x {one.batch.tokens}",
                "checkpointing": lambda one: one.batch.checkpointing,
                "ends": lambda one: one.ends,
                "draw": lambda one: one.draw,
                "unit": lambda one: one.unit,
            }.items()
        }
        print(
            f"\nWithin {100 * close:.0f} points of it: {len(as_well)}; LoRA and DoRA are both beyond "
            f"{LIMIT:g} at {LONG} tokens in {over} of them."
        )
        for name, values in ranges.items():
            print(f"- {name}: {', '.join(values)}")
    batch = fitted[0][1].batch
    staging = planned("grass", batch, False).component_peaks["staging"]
    print(f"\nState on the device when offloaded: {staging / 1e9:.3f} GB (published {OFFLOADED}).")
    for ends in (False, True):
        state = resident_state(ends)
        print(
            f"State resident{', ends trained' if ends else ''}: {state / 1e9:.3f} GB, "
            f"{state / 2**30:.3f} GiB; without offload {(state - staging) / 1e9:+.2f} GB."
        )


if __name__ == "__main__":
    main()
