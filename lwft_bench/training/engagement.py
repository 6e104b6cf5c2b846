"""Did the method do what it says? Judged from the trace, not from the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lwft_bench.plugins.registry import optimizers
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.result import Check, Engagement
from lwft_bench.schema.rows import SelectionRow
from lwft_bench.state.store import StateStore
from lwft_bench.training.active_groups import moved_groups
from lwft_bench.training.groups import Group, Groups
from lwft_bench.training.restarts import restarts
from lwft_bench.training.rounding import rounded_away
from lwft_bench.training.trace import Trace


@dataclass(frozen=True, slots=True)
class Period:
    """Between two checksums: what was to be trained, what changed, what a last update moved before its
    state was cleared, and what the rule for unselected units was to move.
    """

    first_step: int
    expected: frozenset[str]
    changed: frozenset[str]
    left: frozenset[str]
    moved: frozenset[str]
    lost: frozenset[str]
    """Of those that did not change: updated, and the updates lost to rounding."""


def judge(
    trace: Trace,
    groups: Groups,
    store: StateStore,
    method: MethodConfig,
    frozen_unchanged: bool,
    *,
    selection_varies: bool | None,
) -> Engagement:
    """The verdict over a finished run.

    frozen_unchanged: whether parameters in no group kept their bits. selection_varies: the strategy's
    own word that selections differ over time (None: they may).
    """
    periods = _periods(trace, groups, store, method)
    checks = [
        _selection_changed(trace, len(groups.units), selection_varies),
        _selected_changed(periods),
        _others_kept(periods, frozen_unchanged),
        _trained_parameters(trace, groups, store, method),
        _state_memory(trace, groups, store, method),
        _state_age(trace, groups, store, method),
        _state_kept(trace, groups, method),
    ]
    if method.unselected is not None:
        checks.append(_unselected_moved(periods))
    return Engagement(passed=all(check.passed for check in checks), checks=checks)


def _selected(groups: Groups, row: SelectionRow) -> set[str]:
    """Names of the units of a row of selections."""
    return {groups.units[unit].name for unit in row.units}


def _moved(groups: Groups, row: SelectionRow, method: MethodConfig) -> set[str]:
    """Names of the units that the rule for unselected ones moves."""
    return {group.name for group in moved_groups(groups, row.units, method.unselected)}


def _periods(trace: Trace, groups: Groups, store: StateStore, method: MethodConfig) -> list[Period]:
    periods = []
    previous: set[str] = set()
    moves_on_leaving = optimizers.get(method.optimizer.name).leaves
    for before, after in zip(trace.checksums, trace.checksums[1:], strict=False):
        expected = {group.name for group in groups.always}
        left: set[str] = set()
        moved: set[str] = set()
        for row in trace.selections:
            if before.step <= row.step < after.step:
                expected |= _selected(groups, row)
                moved |= _moved(groups, row, method)
                left |= previous if moves_on_leaving else set()
                previous = _selected(groups, row)
        changed = {n for n, value in after.groups.items() if before.groups[n] != value}
        lost = rounded_away(trace, groups, store, after, expected - changed)
        periods.append(Period(before.step, *map(frozenset, (expected, changed, left, moved, lost))))
    return periods


def _selection_changed(trace: Trace, num_units: int, selection_varies: bool | None) -> Check:
    selections = [row.units for row in trace.selections]
    distinct = len(set(selections))
    partial = any(len(units) < num_units for units in selections)
    should = bool(selection_varies) and partial and len(selections) > 1
    detail = f"{distinct} different selections in {len(selections)} periods"
    return Check(name="selection_changes", passed=distinct > 1 or not should, detail=detail)


def _selected_changed(periods: list[Period]) -> Check:
    failures = [
        f"{', '.join(sorted(still))} from step {p.first_step}"
        for p in periods
        if (still := p.expected - p.changed - p.lost)
    ]
    lost = sorted(frozenset[str]().union(*(p.lost for p in periods)))
    detail = "all changed"
    if lost:
        detail = f"all changed, but for updates of {', '.join(lost)} that rounding lost"
    if failures:
        detail = f"unchanged though selected: {'; '.join(failures[:3])}"
    return Check(name="selected_change", passed=bool(periods) and not failures, detail=detail)


def _unselected_moved(periods: list[Period]) -> Check:
    """Where a rule moves unselected units: it did. In bf16 its steps may be rounded away."""
    failures = [
        f"{', '.join(sorted(still))} from step {p.first_step}"
        for p in periods
        if (still := p.moved - p.changed)
    ]
    detail = f"unmoved: {'; '.join(failures[:3])}" if failures else "all moved"
    return Check(name="unselected_move", passed=not failures, detail=detail)


def _others_kept(periods: list[Period], frozen_unchanged: bool) -> Check:
    failures = [
        f"{', '.join(sorted(strangers))} from step {p.first_step}"
        for p in periods
        if (strangers := p.changed - p.expected - p.left - p.moved)
    ]
    if not frozen_unchanged:
        failures.append("parameters outside all groups")
    detail = f"changed though frozen: {'; '.join(failures[:3])}" if failures else "none changed"
    return Check(name="others_frozen", passed=not failures, detail=detail)


def _visited(trace: Trace, groups: Groups) -> set[str]:
    units = {name for row in trace.selections for name in _selected(groups, row)}
    return units | {group.name for group in groups.always}


def _trained_parameters(
    trace: Trace, groups: Groups, store: StateStore, method: MethodConfig
) -> Check:
    visited = _visited(trace, groups).union(
        *(_moved(groups, row, method) for row in trace.selections)
    )
    expected = sum(group.num_parameters for group in groups.all if group.name in visited)
    counted = store.trained_parameters
    detail = f"{counted:,} parameters updated, {expected:,} in the groups selected"
    return Check(name="trained_parameters", passed=counted == expected, detail=detail)


def _state_memory(trace: Trace, groups: Groups, store: StateStore, method: MethodConfig) -> Check:
    """State exists for all visited units under `keep`, else for those of the last selection."""
    last = _selected(groups, trace.selections[-1])
    expected = 0
    for group in groups.all:
        held = group.name in _visited(trace, groups)
        if group.unit is not None and method.state_policy != "keep":
            held = group.name in last
        if held:
            expected += store.groups[group.name].state_bytes
    device, host = store.device_bytes, store.host_bytes
    placed = {"all": host == 0, "none": device == 0}.get(str(method.state_on_device), True)
    detail = f"{device:,} B on the device, {host:,} B on the host, {expected:,} B by the policy"
    return Check(name="state_memory", passed=device + host == expected and placed, detail=detail)


def _state_age(trace: Trace, groups: Groups, store: StateStore, method: MethodConfig) -> Check:
    """Each group's step counters equal the steps it trained (since its state was last reset)."""
    ages = _expected_ages(trace, groups, method)
    steps: Mapping[str, list[int]] = store.steps()
    wrong = [
        f"{name}: {sorted(set(steps[name]))} instead of {age}"
        for name, age in ages.items()
        if name in steps and set(steps[name]) != {age}
    ]
    detail = "; ".join(wrong[:3]) if wrong else "as the policy says"
    return Check(name="state_age", passed=not wrong, detail=detail)


def _expected_ages(trace: Trace, groups: Groups, method: MethodConfig) -> dict[str, int]:
    ages = {group.name: 0 for group in groups.all}
    previous: set[str] | None = None
    end = trace.checksums[-1].step
    starts = [row.step for row in trace.selections] + [end]
    for row, next_start in zip(trace.selections, starts[1:], strict=True):
        selected = _selected(groups, row)
        switched = previous is not None and selected != previous
        for group in groups.all:
            if _begins_anew(group, method, row, selected, switched):
                ages[group.name] = 0
            if group.unit is None or group.name in selected:
                ages[group.name] += next_start - row.step
        previous = selected
    return ages


def _begins_anew(
    group: Group, method: MethodConfig, row: SelectionRow, selected: set[str], switched: bool
) -> bool:
    """Whether the policy, or the strategy in its place, ends the group's state at a selection."""
    is_part = group.unit is None
    policy = method.always_train_state_policy if is_part else method.state_policy
    ends = switched if is_part else group.name not in selected
    return policy != "keep" and (ends or restarts(group, row.restart))


def _state_kept(trace: Trace, groups: Groups, method: MethodConfig) -> Check:
    """State is taken up as it was left, where the policy keeps it, and as zeros elsewhere.

    Step counters cannot tell: they go on over moments that were lost.
    """
    known = {group.name: 0 for group in groups.all}
    previous: set[str] | None = None
    wrong = []
    for row, state in zip(trace.selections, trace.states, strict=True):
        selected = _selected(groups, row)
        known |= state.left
        switched = previous is not None and selected != previous
        for group in groups.all:
            if _begins_anew(group, method, row, selected, switched):
                known[group.name] = 0
        for name, taken in state.taken.items():
            if taken != known[name]:
                wrong.append(f"{name} at step {row.step}")
        previous = selected
    detail = f"not as the policy says: {', '.join(wrong[:3])}" if wrong else "as the policy says"
    return Check(name="state_kept", passed=not wrong, detail=detail)
