"""When optimizer state begins anew though its group goes on training."""

from __future__ import annotations

from collections.abc import Collection

from lwft_bench.schema.method import MethodConfig
from lwft_bench.strategies.base import Selection
from lwft_bench.strategies.selections import InvalidSelection
from lwft_bench.training.groups import Group, Groups


def restarts(group: Group, said: bool | None) -> bool:
    """Whether a selection ends the state of a group that it does not part with.

    said: `Selection.restart`. It speaks of units; parts that always train follow it where it says no.
    """
    if said is None or (said and group.unit is None):
        return group.restarts
    return said


def ending_groups(
    groups: Groups, before: Collection[int], units: Collection[int], said: bool | None
) -> list[Group]:
    """The groups whose state ends, if their policy ends any, where `units` follow those `before`.

    Of parts that always train those that begin anew with it.
    """
    of_units = [
        group
        for group in groups.units
        if group.unit in before and (group.unit not in units or restarts(group, said))
    ]
    switched = set(before) != set(units)
    return [*of_units, *(g for g in groups.always if switched or restarts(g, said))]


def require_clearing(selection: Selection, method: MethodConfig) -> None:
    """Refuses a selection that would clear state under a policy that keeps all of it."""
    if selection.restart and method.state_policy == "keep":
        raise InvalidSelection(
            "The strategy selected something invalid: restart is true, and the method's state_policy "
            "keeps all state.",
            hint="Set state_policy: reset.",
        )
