"""In which order parameters will be updated, so that offloaded state can come in ahead."""

from __future__ import annotations

from collections.abc import Sequence

from lwft_bench.state.store import Wanted
from lwft_bench.training.groups import Group


class UpdateOrder:
    """Learns from what happened: the last step with the same groups, else groups of the same make."""

    def __init__(self, *, in_backward: bool) -> None:
        self._in_backward = in_backward
        self._step: list[tuple[Group, int]] = []
        """The updates of the last step, or of the one that is being made."""
        self._within: dict[tuple[int, ...], list[int]] = {}
        """Sizes of a group's parameters -> the order in which such a group was last updated."""

    def record(self, group: Group, index: int) -> None:
        """The group's parameter `index` is being updated."""
        self._step.append((group, index))

    def expected(self, groups: Sequence[Group]) -> list[Wanted]:
        """The updates of the step that begins, in which `groups` are updated."""
        last, self._step = self._step, []
        names = [group.name for group in groups]
        if {group.name for group, _ in last} == set(names):
            return [(group.name, index) for group, index in last]
        for group in {group.name: group for group, _ in last}.values():
            indices = [index for other, index in last if other.name == group.name]
            self._within[_make(group)] = indices
        # A backward pass meets first what comes last in the forward pass.
        ordered = reversed(groups) if self._in_backward else groups
        return [
            (group.name, index)
            for group in ordered
            for index in self._within.get(_make(group), range(len(group.parameters)))
        ]


def _make(group: Group) -> tuple[int, ...]:
    return tuple(group.sizes)
