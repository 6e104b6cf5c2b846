"""The suite's claims with their verdicts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from lwft_bench.reporting.numbers.claim_metrics import Assessed
from lwft_bench.reporting.numbers.claims import assess
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.render.formatting import NOTHING, p_value
from lwft_bench.reporting.render.table import Column, Table, tabulate
from lwft_bench.schema.claims import Claim

_NOTE = (
    "Supported: the whole 95 % interval lies where the claim says; contradicted: none of it does; "
    "undecided: it may be either. Intervals are of each claim alone, verdicts are corrected by Holm for "
    "the {} claims here that noise could decide. Counted memory and weights have no noise."
)
_WOULD_TAKE = (
    "Would take: with which four of five such experiments would decide, if the number is what it seems; "
    "more seeds with the same items, or more items (or templates) with the same seeds."
)


def build(context: Context) -> Table | None:
    """None without claims."""
    records = context.records
    return claims_table(assess(records.claims, context.comparisons, timing=records.timing))


def claims_table(found: Sequence[Assessed]) -> Table | None:
    """One row a claim, and model and task."""
    if not found:
        return None
    claims = list({one.claim.name: one.claim for one in found}.values())
    noisy = sum(one.noisy is not None for one in found)
    undecided = any(one.needed is not None for one in found)
    return tabulate(
        "claims",
        "Claims",
        found,
        _COLUMNS,
        notes=[
            _NOTE.format(noisy),
            *([_WOULD_TAKE] if undecided else []),
            *(f"{one.claim.name}: {contended(one)}." for one in found if one.contended),
            *_about(claims),
        ],
    )


def _about(claims: Sequence[Claim]) -> Iterator[str]:
    for claim in claims:
        parts = [f"{claim.name}: {claim.says.rstrip('.')}."]
        parts += [f"Source: {claim.source.rstrip('.')}."] if claim.source else []
        parts += [f"Ambiguous: {claim.ambiguous.rstrip('.')}."] if claim.ambiguous else []
        yield " ".join(parts)


_SPEEDS = {
    "by_turns": "speed by turns",
    "end_to_end": "speed of own cells, end to end",
    "steady": "speed of own cells",
}


def contended(one: Assessed) -> str:
    """What else the machine did when speeds were taken."""
    return f"taken while the machine had other work ({one.contended})"


def holds_if(claim: Claim) -> str:
    """`grass − lora > 0 points`."""
    subject = str(claim.of)
    if claim.kind == "equal_weights":
        return f"weights of {claim.of} and {claim.against} equal"
    if claim.kind == "rank":
        names = ", ".join(map(str, claim.among))
        return f"{claim.of} among the first {claim.at_most} with {names}"
    if claim.against is not None:
        sign = "−" if claim.kind.endswith("difference") else "/"
        subject = f"{claim.of} {sign} {claim.against}"
    what = {"throughput_ratio": f"{_SPEEDS[claim.speed]}, ", "accuracy_difference": ""}.get(
        claim.kind, "memory, "
    )
    if claim.kind == "accuracy_difference" and claim.benchmark != "average":
        what = f"{claim.benchmark}, "
    low, high = claim.bounds
    unit = f" {claim.unit}" if claim.unit else ""
    if math.isinf(low):
        return f"{what}{subject} < {high:g}{unit}"
    if math.isinf(high):
        return f"{what}{subject} > {low:g}{unit}"
    return f"{what}{low:g} < {subject} < {high:g}{unit}"


def shown_estimate(one: Assessed) -> str:
    """With its interval, in the claim's unit."""
    if one.estimate is None:
        return NOTHING
    if one.claim.kind == "rank":
        assert one.interval is not None
        low, high = one.interval
        return f"{one.estimate:.0f} [{low:.0f}, {high:.0f}]"
    sign = "+" if one.claim.kind.endswith("difference") else ""
    digits = 1 if one.claim.unit == "points" else 3

    def text(value: float) -> str:
        shown = f"{value:{sign}z.{digits}f}".replace("-", "−")
        return shown if shown.strip("+0.") else shown.removeprefix("+")

    estimate = text(one.estimate)
    if one.interval is None:
        return estimate
    low_end, high_end = map(text, one.interval)
    return estimate if low_end == high_end else f"{estimate} [{low_end}, {high_end}]"


def would_take(one: Assessed) -> str:
    """`15 seeds, or 2.3 times the items`."""
    found = one.needed
    if found is None:
        return one.why or NOTHING
    parts = []
    if math.isfinite(found.seeds):
        parts.append(f"{found.seeds:.0f} {one.claim.repeated}")
    if math.isfinite(found.items):
        parts.append(f"{found.items:.1f} times the items")
    beyond = "more pairs" if one.claim.repeated == "pairs" else "more seeds and more items"
    return ", or ".join(parts) or beyond


def rests_on(one: Assessed) -> str:
    """`2 cells, 8 rounds`."""
    rounds = f", {one.rounds} rounds" if one.rounds else ""
    return f"{len(one.cells)} cells{rounds}" if one.cells else NOTHING


_COLUMNS: list[Column[Assessed]] = [
    Column("claim", lambda one: one.claim.name, plain="claim"),
    Column("of", lambda one: one.about or None, plain="about", text=True),
    Column("holds if", lambda one: holds_if(one.claim), plain="holds_if", text=True),
    Column("verdict", lambda one: one.verdict, plain="verdict", text=True),
    Column(
        "found [95 %]",
        lambda one: one,
        shown_estimate,
        {
            "estimate": lambda one: one.estimate,
            "low": lambda one: one.interval and one.interval[0],
            "high": lambda one: one.interval and one.interval[1],
            "unit": lambda one: one.claim.unit,
        },
    ),
    Column("p (Holm)", lambda one: one.adjusted, p_value, "p_holm"),
    Column("rests on", rests_on),
    Column(None, lambda one: " ".join(one.cells), plain="cells"),
    Column(
        "would take",
        lambda one: would_take(one) if one.verdict == "undecided" else None,
        text=True,
    ),
    Column(
        None,
        lambda one: one.needed,
        plain={"seeds_needed": lambda one: one.seeds, "items_factor": lambda one: one.items},
    ),
    Column(None, lambda one: one.why, plain="why"),
    Column(None, lambda one: one.contended or None, plain="contention"),
]
