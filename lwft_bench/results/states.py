"""What a run has to do about a cell, by what is on disk of it and what it is a cell of now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from lwft_bench.schema.run import EVALUATION, Identity


class State(StrEnum):
    """What a run has to do about a cell."""

    NEW = "new"
    DONE = "done"
    FAILED = "failed"
    STALE = "stale"
    UNSCORED = "to be scored again"
    INTERRUPTED = "interrupted"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class CellState:
    """`changed`: the identity components that made the cell stale."""

    state: State
    changed: tuple[str, ...] = ()


def changed(before: Mapping[str, str], identity: Identity, scorable: bool) -> CellState:
    """Stale, unless evaluation alone has changed and the weights are there to be scored again.

    Args:
        before: The components that the result was made with.
        scorable: Whether the weights are there.
    """
    if scorable and difference(before, identity) == (EVALUATION,):
        return CellState(State.UNSCORED, (EVALUATION,))
    return stale(before, identity)


def stale(before: Mapping[str, str], identity: Identity) -> CellState:
    """With what has changed."""
    return CellState(State.STALE, difference(before, identity))


def difference(before: Mapping[str, str], identity: Identity) -> tuple[str, ...]:
    """The components that are not as before."""
    names = dict.fromkeys([*identity.components, *before])
    return tuple(name for name in names if before.get(name) != identity.components.get(name))
