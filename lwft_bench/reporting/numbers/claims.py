"""What runs and plans say of claims."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from lwft_bench.reporting.numbers.claim_metrics import METRICS, Assessed, RowsMeasured, by_peaks
from lwft_bench.reporting.numbers.comparison import Comparison
from lwft_bench.reporting.numbers.deciding import Bounds, chance, what_decides
from lwft_bench.reporting.numbers.estimates import CONFIDENCE, PairedDifference
from lwft_bench.reporting.numbers.families import holm
from lwft_bench.reporting.numbers.rows import Row
from lwft_bench.reporting.numbers.timing import timed
from lwft_bench.reporting.read.plans import PlannedPeak
from lwft_bench.reporting.read.timings import ReportedTiming
from lwft_bench.schema.claims import Claim, ClaimSide

_AnyRow = TypeVar("_AnyRow")


def assess(
    claims: Sequence[Claim],
    comparisons: Sequence[Comparison],
    plans: Sequence[PlannedPeak] = (),
    timing: ReportedTiming | None = None,
) -> list[Assessed]:
    """Every claim: one verdict for each model and task that has the cells of both sides, or one that
    none has. All that noise could decide are one family.

    Args:
        timing: how the methods were timed against each other, where they were.
    """
    measured = [RowsMeasured(one, timed(one, timing or ReportedTiming())) for one in comparisons]
    found = [one for claim in claims for one in _assess(claim, measured, plans)]
    noisy = [one.noisy for one in found if one.noisy is not None]
    adjusted = iter(holm([chance(*one) for one in noisy]) if noisy else [])
    return [
        _corrected(one, one.noisy, next(adjusted), len(noisy)) if one.noisy is not None else one
        for one in found
    ]


def _corrected(
    one: Assessed, noisy: tuple[PairedDifference, Bounds], adjusted: float, family: int
) -> Assessed:
    """Undecided too where the correction leaves it so."""
    one = replace(one, adjusted=adjusted)
    if one.verdict != "undecided" and adjusted < 1 - CONFIDENCE:
        return one
    return replace(one, verdict="undecided", needed=what_decides(*noisy, family))


def _assess(
    claim: Claim, measured: Sequence[RowsMeasured], plans: Sequence[PlannedPeak]
) -> Iterator[Assessed]:
    found = list(_measured(claim, measured)) if claim.evidence != "planned" else []
    decided = [one for one in found if one.estimate is not None or one.verdict != "undecided"]
    if claim.kind.startswith("memory") and claim.evidence != "measured" and not decided:
        found = [*_planned(claim, plans)] or found
    if found:
        yield from found
    else:
        yield Assessed(claim, "", "undecided", why=_lacking(claim, bool(measured or plans)))


def _lacking(claim: Claim, any_evidence: bool) -> str:
    where = " on ".join(name for name in (claim.model, claim.task) if name)
    names = " and ".join(map(str, claim.sides))
    about = f" of {where}" if where else ""
    what = "run or plan" if claim.kind.startswith("memory") else "run"
    if not any_evidence:
        return f"no {what} has {names}{about}"
    return f"none of these has done cells of {names}{about}"


def _measured(claim: Claim, measured: Sequence[RowsMeasured]) -> Iterator[Assessed]:
    for one in measured:
        model, task = one.comparison.model, one.comparison.task
        if claim.model in (None, model) and claim.task in (None, task):
            found, about = _rows(claim, one.comparison), f"{model} on {task}"
            if isinstance(found, str):
                yield Assessed(claim, about, "undecided", why=found)
            elif found:
                cells = tuple(cell.id for row in found for cell in row.done)
                judged = METRICS[claim.kind](claim, one, found)
                yield replace(judged, about=about, cells=judged.cells or cells)


def _rows(claim: Claim, comparison: Comparison) -> list[Row] | str:
    """The rows of all sides; none if one has no done cell; or why they cannot be told."""
    found: list[Row] = []
    for side in claim.sides:
        own = [row for row in comparison.rows if row.done and row.method == side.method]
        rows = _named(side, own, lambda row: row.cells[0].ablation)
        if len(rows) > 1:
            labels = ", ".join(row.label for row in rows)
            same = len({str(row.cells[0].ablation) for row in rows}) == 1
            advice = "judge runs that can be compared" if same else "say which by `ablation`"
            return f"{side} is several rows ({labels}): {advice}"
        found += rows
    return found if len(found) == len(claim.sides) else []


def _named(
    side: ClaimSide, found: Sequence[_AnyRow], ablation: Callable[[_AnyRow], Mapping[str, Any]]
) -> list[_AnyRow]:
    """Those that have just the side's ablated values, or else those that have these and others."""
    having = [one for one in found if _holds(side.ablation, ablation(one))]
    return [one for one in having if len(ablation(one)) == len(side.ablation)] or having


def _holds(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    return all(key in found and str(found[key]) == str(value) for key, value in wanted.items())


def _planned(claim: Claim, plans: Sequence[PlannedPeak]) -> Iterator[Assessed]:
    """One verdict for each model and task that a plan has both sides of."""
    pairs = dict.fromkeys((one.model, one.task) for one in plans)
    for model, task in pairs:
        if claim.model not in (None, model) or claim.task not in (None, task):
            continue
        here = [one for one in plans if (one.model, one.task) == (model, task)]
        sides = [
            _named(
                side,
                [one for one in here if one.method == side.method],
                lambda one: one.ablation,
            )
            for side in claim.sides
        ]
        if not all(sides):
            continue
        about, cells = f"{model} on {task}", tuple(one.cell for side in sides for one in side)
        several = [side for side in sides if len({str(one.ablation) for one in side}) > 1]
        if several:
            why = f"{several[0][0].method} has several values in the plan: say which by `ablation`"
            yield Assessed(claim, about, "undecided", cells=cells, why=why)
            continue
        found = by_peaks(claim, [[one.peak_bytes for one in side] for side in sides])
        yield replace(found, about=about, cells=cells, why="planned")
