"""The table of what was measured."""

from __future__ import annotations

import csv
import json
import math
import platform
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.peers.peers import BASELINE, NOTES, PEERS
from benchmarks.peers.sizes import ALLOWED

Row = dict[str, Any]
CONFIDENCE = 0.95
LOADED_FROM = 0.05
"""The share of its time that a process waits for a processor: above it the machine is not quiet."""
PACKAGES = ("torch", "transformers", "accelerate", "peft", "trl", "badam")


@dataclass(frozen=True, slots=True)
class Middle:
    """The median, and an interval that has it with at least 95 %, of whatever distribution: two of the
    ordered values. None where there are too few.
    """

    median: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Middle:
        ordered = sorted(values)
        number = len(ordered)
        half = (ordered[(number - 1) // 2] + ordered[number // 2]) / 2
        outside = 0
        left_out = -1
        while True:
            outside += math.comb(number, left_out + 1)
            if 2 * outside / 2**number > 1 - CONFIDENCE:
                break
            left_out += 1
        if left_out < 0:
            return cls(half, None, None)
        return cls(half, ordered[left_out], ordered[number - 1 - left_out])

    def told(self, show: Callable[[float], str]) -> str:
        if self.low is None or self.high is None:
            return show(self.median)
        return f"{show(self.median)} [{show(self.low)}, {show(self.high)}]"


def page(rows: list[Row], about: Row) -> str:
    """All sizes."""
    parts = [_head(rows, about)]
    for name, size in about["sizes"].items():
        parts.append(_size(name, size, [row for row in rows if row["size"] == name], about))
    lines = [f"- {letter}: {text}" for letter, text in NOTES.items()]
    return "\n\n".join([*parts, "## Notes", "\n".join(lines), _differing(about)]) + "\n"


HEAD = """# This trainer beside others

Made by `LWFT_BENCH_DATA=FOLDER python benchmarks/peers/compare.py` ([what it does](compare.py)) on
{machine}, one thread each, float32, in {minutes:.0f} minutes. Trainers made {steps} step(s) in each of
{pairs} rounds, in turns there and back, each in a process of its own; the others waited. Processes that
had a turn waited for a processor in {waiting:.1%} of its time{mark}.

- Figures are medians over rounds, and in brackets what has the median with at least 95 % (two of the
  ordered values). Ratios are of tokens without padding per second, paired by round: by the clock, and
  by processor time.
- Equal for all but TRL: the sequences of each step and their order, the loss on targets alone divided by
  the step's target tokens, AdamW (torch's fused kernel) at a constant rate without clipping, sdpa.
  Layer-wise methods select anew every second step: LISA and its callback the same layers, badam and its
  package too.
- Memory is resident memory of the process at most, and in brackets what came on top of its imports.
  First step: seconds from the start of the process to the end of its first optimizer step, imports and
  loading included, once each, two processes at a time.
- Versions: {versions}."""

LOADED = """‡ Other processes worked on the machine meanwhile: by the clock little can be said. By
processor time more can, though caches and memory bandwidth were shared."""


def _head(rows: list[Row], about: Row) -> str:
    waiting = _share(rows)
    loaded = waiting > LOADED_FROM
    told = HEAD.format(
        machine=about["machine"],
        minutes=about["wall_seconds"] / 60,
        steps=about["steps"],
        pairs=about["pairs"],
        waiting=waiting,
        mark=" ‡" if loaded else "",
        versions=", ".join(f"{name} {version}" for name, version in about["versions"].items()),
    )
    return "\n\n".join([told, *([LOADED] if loaded else []), *about.get("remarks", [])])


def _share(rows: list[Row]) -> float:
    waited = sum(float(row["waiting_seconds"]) for row in rows)
    return waited / max(waited + sum(float(row["processor_seconds"]) for row in rows), 1e-9)


def _size(name: str, size: Row, rows: list[Row], about: Row) -> str:
    by_peer: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: int(row["pair"])):
        by_peer.setdefault(row["peer"], []).append(row)
    firsts = {one["peer"]: one for one in about["first"] if one["size"] == name}
    lines = [
        f"## {name}: {size['parameters'] / 1e6:.1f} M parameters, {size['layers']} layers",
        "",
        f"{size['batch_size']} sequences a step, median {size['median_length']} and at most "
        f"{size['longest']} tokens; {size['padding']:.0%} of a batch padded to its longest is padding. "
        f"Load average {size['load'][0]:.1f} to {size['load'][1]:.1f}.",
        "",
        "| trainer | tokens/s | s a step | processor s a step | ÷ HF Trainer, fft | by processor time "
        "| ÷ same method there | by processor time | memory (on top) | first step: s (processor) |",
        "|:---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for peer, first in firsts.items():
        title = PEERS[peer].title + (
            f" ({', '.join(PEERS[peer].notes)})" if PEERS[peer].notes else ""
        )
        if first["why"]:
            lines.append(f"| {title} | did not run: {first['why'].replace('|', '/')} |" + " |" * 8)
            continue
        lines.append(_line(title, peer, by_peer, first))
    return "\n".join(lines)


def _line(title: str, peer: str, by_peer: dict[str, list[Row]], first: Row) -> str:
    rows = by_peer[peer]
    cells = [
        title,
        Middle.of([_rate(row, "seconds") for row in rows]).told(lambda x: f"{x:,.0f}"),
        Middle.of([float(row["seconds"]) for row in rows]).told(lambda x: f"{x:.3f}"),
        Middle.of([float(row["processor_seconds"]) for row in rows]).told(lambda x: f"{x:.3f}"),
    ]
    for other in (BASELINE, PEERS[peer].nearest):
        for clock in ("seconds", "processor_seconds"):
            cells.append(_ratio(peer, other, by_peer, clock))
    last = rows[-1]
    peak, base = int(last["peak_bytes"]), int(last["base_bytes"])
    cells.append(f"{peak / 2**20:,.0f} MiB ({(peak - base) / 2**20:,.0f})")
    if last.get("device_bytes"):
        cells[-1] += f", device {int(last['device_bytes']) / 2**20:,.0f} MiB"
    cells.append(f"{first['until_first_step']:.1f} ({first['processor_until_first_step']:.1f})")
    return "| " + " | ".join(cells) + " |"


def _ratio(peer: str, other: str | None, by_peer: dict[str, list[Row]], clock: str) -> str:
    if other is None or other == peer or other not in by_peer:
        return "–"
    pairs = zip(by_peer[peer], by_peer[other], strict=True)
    return Middle.of([_rate(a, clock) / _rate(b, clock) for a, b in pairs]).told(
        lambda x: f"{x:.2f}"
    )


def _rate(row: Row, clock: str) -> float:
    return float(row["tokens"]) / float(row[clock])


def _differing(about: Row) -> str:
    """How far apart weights are that should be the same."""
    lines = [
        "Weights after the last step: the largest difference to those of this trainer's padded steps of "
        f"the same method, in learning rates. The bare loop must be within {ALLOWED}.",
        "",
        "| trainer | " + " | ".join(about["sizes"]) + " |",
        "|:---|" + "---:|" * len(about["sizes"]),
    ]
    for peer in PEERS:
        found = [size["differences"].get(peer) for size in about["sizes"].values()]
        if any(one is not None for one in found):
            told = ["–" if one is None else f"{one:.2g}" for one in found]
            lines.append(f"| {PEERS[peer].title} | " + " | ".join(told) + " |")
    return "\n".join(lines)


def versions() -> dict[str, str]:
    """Of what is installed here."""
    found = {}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def machine() -> str:
    """Its processors."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "")
    number = sum(line.startswith("processor") for line in lines)
    return f"{number} × {model or platform.processor()}"


def write_page(folder: Path) -> None:
    """results.md from the files of what was measured, whose numbers are rounded."""
    with (folder / "turns.csv").open(encoding="utf-8") as file:
        rows: list[Row] = list(csv.DictReader(file))
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    (folder / "results.md").write_text(page(rows, about), encoding="utf-8")


if __name__ == "__main__":
    write_page(Path(sys.argv[1]))
