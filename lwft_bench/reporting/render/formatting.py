"""Numbers as people read them: the units and digits that every table and sentence shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lwft_bench.reporting.numbers.estimates import Estimate, PairedDifference
from lwft_bench.reporting.numbers.families import Judged
from lwft_bench.reporting.numbers.timing import Interval

NOTHING = "–"
"""Stands where there is no number."""
BEYOND = "*"
"""Marks a difference beyond noise."""
BEST = " †"
"""Marks what is best or not separable from it."""

CONTENDED = " ‡"
"""Marks a speed that was measured while others had part of the machine."""

_MIB = 2**20


def three_digits(value: float) -> str:
    """Three significant digits, never an exponent."""
    if value == 0:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def memory(num_bytes: float | None) -> str:
    """MiB below 1 GiB, GiB from there on."""
    if num_bytes is None:
        return NOTHING
    if abs(num_bytes) < 2**30:
        return "0" if num_bytes == 0 else f"{three_digits(num_bytes / _MIB)} MiB"
    return f"{three_digits(num_bytes / 2**30)} GiB"


def count(value: float | None) -> str:
    """1.62 M, 7.24 B; whole numbers below 10,000."""
    if value is None:
        return NOTHING
    if abs(value) < 10_000:
        return f"{value:,.0f}"
    for limit, letter in ((1e6, "k"), (1e9, "M"), (1e12, "B")):
        if abs(value) < limit:
            return f"{three_digits(value * 1000 / limit)} {letter}"
    return f"{three_digits(value / 1e12)} T"


def small(value: float | None) -> str:
    """A loss or a share."""
    return NOTHING if value is None else three_digits(value).replace("-", "−")


def loss(value: float) -> str:
    """With four decimals, as losses of methods are compared."""
    return f"{value:.4f}"


def losses(estimate: Estimate) -> str:
    """The same with its standard error, if there are seeds."""
    shown = loss(estimate.mean)
    return shown if math.isnan(estimate.stderr) else f"{shown} ± {loss(estimate.stderr)}"


def flops(value: float) -> str:
    """A number of operations with three digits and a prefix."""
    exponent = min(5, max(0, (math.floor(math.log10(value)) if value else 0) // 3 - 1))
    prefix = ("k", "M", "G", "T", "P", "E")[exponent]
    return f"{three_digits(value / 1000 ** (exponent + 1))} {prefix}FLOP"


def accuracy(estimate: Estimate | None) -> str:
    """Percent with its standard error."""
    if estimate is None:
        return NOTHING
    if math.isnan(estimate.stderr):
        return f"{100 * estimate.mean:.1f}"
    return f"{100 * estimate.mean:.1f} ± {100 * estimate.stderr:.1f}"


def speed(rate: Estimate) -> str:
    """Target tokens per second with their standard error, if there are seeds."""
    shown = f"{rate.mean:,.0f}"
    return shown if math.isnan(rate.stderr) else f"{shown} ± {rate.stderr:,.0f}"


def ratio(found: Interval) -> str:
    """With its 95 % interval."""
    if found.low is None or found.high is None:
        return f"{found.mean:.2f}"
    return f"{found.mean:.2f} [{found.low:.2f}, {found.high:.2f}]"


def points(value: float) -> str:
    """A difference in percentage points, signed with a real minus."""
    shown = f"{100 * value:+.1f}"
    return "0.0" if shown in ("+0.0", "-0.0") else shown.replace("-", "−")


def difference(paired: PairedDifference | None) -> str:
    """Percentage points and the 95 % interval, or why there is none."""
    if paired is None:
        return NOTHING
    mean, interval = points(paired.estimate.mean), paired.interval
    if paired.identical:
        return f"{mean} (identical)"
    if not paired.over_seeds:
        return f"{mean} (one seed)"
    if paired.alike:
        return f"{mean} (alike)"
    if interval is None:  # a single item has no spread
        return mean
    return f"{mean} [{points(interval[0])}, {points(interval[1])}]"


def judged(found: Judged | None) -> str:
    """The same, with a star where it is beyond noise."""
    if found is None:
        return NOTHING
    return difference(found.paired) + (BEYOND if found.beyond_noise else "")


def p_value(p: float) -> str:
    """Three decimals, or that it is smaller."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def seeds(number: float) -> str:
    """How many would be needed."""
    return f"{number:.0f}" if math.isfinite(number) else "more items"


def spread(values: Sequence[float], shown: Any) -> str:
    """One value if all look alike, else the smallest and the largest."""
    if not values:
        return NOTHING
    low, high = shown(min(values)), shown(max(values))
    return low if low == high else f"{low} to {high}"


def listing(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
