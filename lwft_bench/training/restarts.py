"""When optimizer state begins anew though its group goes on training."""

from __future__ import annotations

from lwft_bench.schema.method import MethodConfig
from lwft_bench.strategies.base import Selection
from lwft_bench.strategies.selections import InvalidSelection
from lwft_bench.training.groups import Group


def restarts(group: Group, said: bool | None) -> bool:
    """Whether a selection ends the state of a group that it does not part with.

    said: `Selection.restart`. It speaks of units; parts that always train follow it where it says no.
    """
    if said is None or (said and group.unit is None):
        return group.restarts
    return said


def require_clearing(selection: Selection, method: MethodConfig) -> None:
    """Refuses a selection that would clear state under a policy that keeps all of it."""
    if selection.restart and method.state_policy == "keep":
        raise InvalidSelection(
            "The strategy selected something invalid: restart is true, and the method's state_policy "
            "keeps all state.",
            hint="Set state_policy: reset.",
        )
