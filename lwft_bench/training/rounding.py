"""Updates that were made and that no stored weight shows: what 16-bit weights lose to rounding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import torch

from lwft_bench.models.sharded import own_rows
from lwft_bench.schema.rows import ChecksumRow
from lwft_bench.state.store import StateStore
from lwft_bench.training.groups import Group, Groups
from lwft_bench.training.state_checksums import state_checksums
from lwft_bench.training.trace import Trace


def rounded_away(
    trace: Trace, groups: Groups, store: StateStore, end: ChecksumRow, unchanged: Iterable[str]
) -> frozenset[str]:
    """Those of the groups that are `unchanged` in a period though they were updated.

    A group's updates were lost if it has optimizer state that is not zero, its weights are of 16 bits,
    and a step of the period's largest learning rate is less than the smallest of them can move by. A
    weight near zero moves however small the step is: so a group that has one and stands still was
    not updated, whatever its state says. Of weights that are shared out, those here are
    looked at.

    Args:
        end: The checksums at the period's end.
    """
    by_name = {group.name: group for group in groups.all}
    held = _state_at(trace, end.step)
    lr = _largest_lr(trace, end.step)
    return frozenset(
        name
        for name in unchanged
        if (held[name] if name in held else state_checksums(store, [by_name[name]])[name])
        and _too_small(lr, by_name[name])
    )


def lost_periods(trace: Trace, groups: Groups, store: StateStore) -> dict[str, int]:
    """Group -> the periods in which rounding lost all of its updates."""
    counts: Counter[str] = Counter()
    for before, after in zip(trace.checksums, trace.checksums[1:], strict=False):
        always = {group.name for group in groups.always}
        trained = always.union(
            groups.units[unit].name
            for row in trace.selections
            if before.step <= row.step < after.step
            for unit in row.units
        )
        still = [name for name in trained if before.groups[name] == after.groups[name]]
        counts.update(rounded_away(trace, groups, store, after, still))
    return dict(sorted(counts.items()))


def _state_at(trace: Trace, step: int) -> Mapping[str, int]:
    """Checksums of the state that groups had when the period that ends before `step` ended; nothing
    for the last period.
    """
    return next((row.left for row in trace.states if row.step == step), {})


def _largest_lr(trace: Trace, end: int) -> float:
    """Of the period that ends before step `end`."""
    start = max((row.step for row in trace.selections if row.step < end), default=0)
    return max((row.lr for row in trace.steps if start <= row.step < end), default=0.0)


def _too_small(lr: float, group: Group) -> bool:
    for parameter in group.parameters.values():
        if not parameter.is_floating_point() or torch.finfo(parameter.dtype).bits > 16:
            return False
        here = own_rows(parameter)
        if here.numel() and lr > torch.finfo(parameter.dtype).eps / 2 * float(here.abs().min()):
            return False
    return True
