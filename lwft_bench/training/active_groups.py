"""What a step does with each group while some units are selected, in training and in plans alike."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.units import UnselectedConfig
from lwft_bench.strategies.base import Needs
from lwft_bench.training.groups import Group, Groups, UnitGroup


def moved_groups(
    groups: Groups, selected: Collection[int], rule: UnselectedConfig | None
) -> list[UnitGroup]:
    """The units that the rule for unselected ones moves while these are selected."""
    if rule is None:
        return []
    lowest = min((groups.units[unit].depth for unit in selected), default=len(groups.units))
    return [
        group
        for group in groups.units
        if group.unit not in selected and (rule.range == "all" or group.depth > lowest)
    ]


class Active(NamedTuple):
    """What a step does with groups: updates them, measures their gradients, or moves them by the rule
    for unselected units.
    """

    updated: list[Group]
    measured: Sequence[Group]
    moved: list[UnitGroup]


def active_groups(
    groups: Groups,
    method: MethodConfig,
    units: Collection[int],
    needs: Needs,
    observed: Collection[int] = (),
) -> Active:
    """What a step does while these units are selected.

    Args:
        observed: Units whose gradients are measured without being trained; all if so needed.
    """
    everything = needs.gradients == "all"
    return Active(
        [*(groups.units[unit] for unit in units), *groups.always],
        groups.units if everything else [groups.units[unit] for unit in observed],
        moved_groups(groups, units, method.unselected),
    )
