"""All fifteen peaks that GRASS publishes against plans, over everything that it leaves open.

One setting must explain all of them together, since a single match proves nothing: peaks of three models
and five methods, and one of longer sequences. Prints tables and draws a figure, from the plans of
paper_peaks.py; `--write` puts them into a page, between the two marks that it has for them:

    OMP_NUM_THREADS=1 python -m benchmarks.paper_peaks peaks.jsonl
    python -m benchmarks.paper_table peaks.jsonl --write docs/plan.md
"""

from __future__ import annotations

import argparse
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import astuple, dataclass, fields
from itertools import product
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from benchmarks.paper_peaks import (
    CARDS,
    DRAWS,
    KERNELS,
    LAYERWISE,
    LENGTH,
    LONG,
    MODELS,
    Planned,
    read,
)

PEAKS = {
    "TinyLlama": (8.76, 4.71, 5.71, 4.93, 4.49),
    "Gemma-2B": (21.19, 11.26, 11.64, 13.33, 12.45),
    "LLaMA2-7B": (51.32, 19.97, 23.23, 22.31, 19.08),
}
"""Of each model by method, in the order of CARDS; by a summary of the paper."""
CELLS = {
    (model, method, LENGTH): peak
    for model, peaks in PEAKS.items()
    for method, peak in zip(CARDS, peaks, strict=True)
} | {("LLaMA2-7B", "GRASS", LONG): 23.25}
CLOSE = (0.02, 0.05)
"""Settings fit equally well if their largest residual is at most this above the best one's; and a cell
is explained by a setting that is at most this away."""
MARKS = ("<!-- the joint fit -->", "<!-- end of the joint fit -->")
FIGURE = "figures/paper-memory.png"
UNITS = {"GB": 10**9, "GiB": 2**30}

Cell = tuple[str, str, int]
Plans = Mapping[Planned, Mapping[str, Mapping[str, float]]]


@dataclass(frozen=True, slots=True)
class Setting:
    """rows: of a batch, for each model. state: of LISA, whether that of layers which left is kept."""

    rows: tuple[int, ...]
    checkpointing: bool
    logits: str
    kernel: str
    adapters: str
    lisa_ends: str
    lisa_state: str
    grass_ends: str
    draw: str
    unit: str


def settings() -> Iterator[Setting]:
    ends = ("frozen", "trained")
    yield from (
        Setting(*values)
        for values in product(
            product((1, 4), repeat=len(MODELS)),
            (False, True),
            ("chunked", "whole"),
            KERNELS,
            ("bf16", "float32"),
            ends,
            ("dropped", "kept"),
            ends,
            DRAWS,
            UNITS,
        )
    )


def planned(setting: Setting, cell: Cell, plans: Plans) -> float | None:
    """The cell's peak in the setting's unit; None where it was not planned."""
    model, method, tokens = cell
    ends = {"LISA": setting.lisa_ends, "GRASS": setting.grass_ends}.get(method)
    key = Planned(
        model,
        method,
        setting.rows[list(MODELS).index(model)],
        tokens,
        setting.checkpointing,
        setting.logits == "whole",
        ends == "trained",
        method in ("LoRA", "DoRA") and setting.adapters == "float32",
    )
    if key not in plans:
        return None
    count = plans[key][setting.kernel][setting.draw if method in LAYERWISE else "dearest"]
    if method == "LISA" and setting.lisa_state == "kept":
        count += plans[key]["kept"]["state"]
    return count / UNITS[setting.unit]


def residuals_of(tried: list[Setting], plans: Plans) -> np.ndarray:
    """[settings, cells]: planned / published - 1; NaN where it was not planned."""
    found = np.full((len(tried), len(CELLS)), np.nan)
    for row, setting in enumerate(tried):
        for column, (cell, published) in enumerate(CELLS.items()):
            value = planned(setting, cell, plans)
            if value is not None:
                found[row, column] = value / published - 1
    return found


def name_of(cell: Cell) -> str:
    model, method, tokens = cell
    return f"{model} {method}" + (f", {tokens} tokens" if tokens != LENGTH else "")


def line(*values: object) -> None:
    print("| " + " | ".join(map(str, values)) + " |")


def words(setting: Setting) -> list[str]:
    rows = "/".join(map(str, setting.rows)) if len(set(setting.rows)) > 1 else setting.rows[0]
    rest = [
        "yes" if value is True else "no" if value is False else value for value in astuple(setting)
    ]
    return [str(rows), *map(str, rest[1:])]


def print_settings(tried: list[Setting], off: np.ndarray, shown: int) -> None:
    worst, typical = np.abs(off).max(axis=1), np.sqrt((off**2).mean(axis=1))
    names = [field.name.replace("_", " ") for field in fields(Setting)]
    line(*names, "worst", "root mean square")
    line(*[":---"] * len(names), "---:", "---:")
    for index in np.argsort(worst, kind="stable")[:shown]:
        line(*words(tried[index]), f"{worst[index]:.1%}", f"{typical[index]:.1%}")
    index = int(typical.argmin())
    line(*words(tried[index]), f"{worst[index]:.1%}", f"{typical[index]:.1%}")
    best = worst.min()
    print(f"\n{len(tried)} settings; the best is off by {best:.1%} at most.")
    for close in CLOSE:
        near = [one for one, off_by in zip(tried, worst, strict=True) if off_by <= best + close]
        print(f"\nWithin {100 * close:.0f} points of it: {len(near)}.")
        for position, name in enumerate(names):
            counts = Counter(words(one)[position] for one in near)
            print(f"- {name}: " + ", ".join(f"{v} ({n})" for v, n in counts.most_common()))


def print_cells(tried: list[Setting], off: np.ndarray) -> list[int]:
    """Returns the best setting by its worst residual, and the one by all of them."""
    best = int(np.abs(off).max(axis=1).argmin())
    least = int((off**2).sum(axis=1).argmin())
    line("cell", "published", "best joint setting", "least squares", "any setting", "within 2 %")
    line(":---", *["---:"] * 5)
    for column, (cell, published) in enumerate(CELLS.items()):
        of_cell = off[:, column]
        joint = [f"{published * (1 + of_cell[i]):.2f} ({of_cell[i]:+.1%})" for i in (best, least)]
        low, high = published * (1 + of_cell.min()), published * (1 + of_cell.max())
        nearest = of_cell[np.abs(of_cell).argmin()]
        within = int((np.abs(of_cell) <= CLOSE[0]).sum())
        line(
            name_of(cell),
            f"{published:g}",
            *joint,
            f"{low:.2f} to {high:.2f}, nearest {nearest:+.1%}",
            f"{within} of {len(tried)}",
        )
    for close in CLOSE:
        missed = [
            name_of(cell)
            for column, cell in enumerate(CELLS)
            if np.abs(off[:, column]).min() > close
        ]
        print(f"\nNot within {close:.0%} in any setting: {', '.join(missed) or 'none'}.")
    return [best, least]


def draw(off: np.ndarray, chosen: list[int], path: Path) -> None:
    """Planned over published of every cell: over all settings, those that fit equally well, the best."""
    worst = np.abs(off).max(axis=1)
    near = worst <= worst.min() + max(CLOSE)
    figure, axes = plt.subplots(figsize=(9, 4.6), layout="constrained")
    at = np.arange(len(CELLS))
    for values, width, colour, label in (
        (off, 2, "#b8b8b8", f"all {len(off):,} settings"),
        (
            off[near],
            7,
            "#7ba7d0",
            f"the {near.sum():,} within {100 * max(CLOSE):.0f} points of the best",
        ),
    ):
        low, high = 1 + values.min(axis=0), 1 + values.max(axis=0)
        axes.vlines(at, low, high, colors=colour, linewidth=width, label=label)
    for index, marker, label in zip(
        chosen, ("o", "_"), ("best by its worst cell", "least squares"), strict=True
    ):
        axes.plot(at, 1 + off[index], marker, color="black", markersize=6, label=label)
    axes.axhline(1, color="#c0392b", linewidth=1, label="published")
    axes.set_yscale("log")
    axes.set_yticks([0.5, 0.7, 1, 1.5, 2, 3], ["0.5", "0.7", "1", "1.5", "2", "3"])
    axes.minorticks_off()
    axes.set_xticks(
        at, [name_of(cell).replace(", ", ",\n") for cell in CELLS], rotation=60, ha="right"
    )
    axes.set_ylabel("planned / published")
    figure.legend(loc="outside upper center", frameon=False, fontsize=8, ncols=3)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plans", type=Path, nargs="+")
    parser.add_argument("--figure", type=Path)
    parser.add_argument(
        "--write", type=Path, help="a page with the marks; its figure goes beside it"
    )
    parser.add_argument("--shown", type=int, default=5)
    arguments = parser.parse_args()
    plans: dict[Planned, Mapping[str, Mapping[str, float]]] = {}
    for path in arguments.plans:
        plans |= read(path)
    every = list(settings())
    off = residuals_of(every, plans)
    whole = ~np.isnan(off).any(axis=1)
    tried, off = [one for one, there in zip(every, whole, strict=True) if there], off[whole]
    found = io.StringIO()
    with redirect_stdout(found):
        if len(tried) < len(every):
            print(f"{len(every) - len(tried)} of {len(every)} settings were not planned.\n")
        chosen = print_cells(tried, off)
        print()
        print_settings(tried, off, arguments.shown)
    print(found.getvalue())
    figure = arguments.figure
    if arguments.write:
        figure = arguments.write.parent / FIGURE
        write(arguments.write, found.getvalue())
    if figure:
        draw(off, chosen, figure)


def write(page: Path, text: str) -> None:
    """Between the two marks of the page."""
    before, _, rest = page.read_text("utf-8").partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    image = f"![Planned over published, of each cell]({FIGURE})"
    page.write_text(
        f"{before}{MARKS[0]}\n\n{text.strip()}\n\n{image}\n\n{MARKS[1]}{after}", "utf-8"
    )


if __name__ == "__main__":
    main()
