"""What a cell of a paper's table shows, and in which unit its column is printed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lwft_bench.reporting.numbers.estimates import Estimate


@dataclass(frozen=True)
class Amount:
    """In basic units. by_seed: single values, where seeds differ in it."""

    value: float
    spread: Estimate | None = None
    by_seed: Mapping[int, float] = field(default_factory=dict)
    star: str = ""


@dataclass(frozen=True)
class ColumnUnit:
    """What values of a column are divided by, its name for the heading, and decimals."""

    size: float
    name: str
    decimals: int
    signed: bool = False

    def show(self, value: float, digits: int | None = None) -> str:
        """Digits with a real minus."""
        decimals = self.decimals if digits is None else digits
        text = f"{value / self.size:{'+' if self.signed else ''},.{decimals}f}"
        return text.replace("-", "−") if text.strip("+-0.,") else text.lstrip("+-")


_STEPS = {
    "bytes": ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")),
    "count": ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")),
    "seconds": ((3600.0, "h"), (60.0, "min"), (1.0, "s")),
}


def unit_of(kind: str, values: Sequence[float]) -> ColumnUnit:
    """One unit for a column: that of its largest value, with three digits of its smallest."""
    if kind in ("share", "points"):
        return ColumnUnit(0.01, "", 1, kind == "points")
    if kind == "ratio":
        return ColumnUnit(1.0, "", 2)
    if kind not in _STEPS:
        return ColumnUnit(1.0, "", 0)
    largest = max(map(abs, values), default=0.0)
    size, name = next((step for step in _STEPS[kind] if largest >= step[0]), (1.0, ""))
    smallest = min((abs(value) for value in values if value), default=1.0) / size
    decimals = min(3, max(0, 2 - math.floor(math.log10(smallest)))) if largest / size < 100 else 0
    return ColumnUnit(float(size), name or ("B" if kind == "bytes" else ""), min(decimals, 2))
