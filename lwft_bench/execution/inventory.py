"""What there is of a run's cells before it starts, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from lwft_bench.results.store import CellState, State


def inventory(name: str, states: Mapping[str, CellState], num_to_do: int) -> str:
    """What there is, and what is stale since which component changed."""
    if all(state.state is State.DONE for state in states.values()):
        return f"{name}: nothing to do: all {len(states)} cells are done"
    counts = Counter(state.state for state in states.values())
    parts = ", ".join(f"{counts[state]} {state}" for state in State if counts[state])
    lines = [f"{name}: {'' if num_to_do else 'nothing to do: '}{len(states)} cells: {parts}"]
    stale: dict[tuple[str, ...], list[str]] = {}
    for cell_id, state in states.items():
        if state.state is State.STALE:
            stale.setdefault(state.changed, []).append(cell_id)
    for changed, cells in stale.items():
        lines.append(f"stale, since {' and '.join(changed)} changed (kept in stale/):")
        lines += [f"  {cell_id}" for cell_id in cells]
    damaged = {cell_id: one for cell_id, one in states.items() if one.state is State.DAMAGED}
    if damaged:
        lines.append("damaged (kept in stale/, and run again):")
        lines += [f"  {cell_id}: {'; '.join(one.changed)}" for cell_id, one in damaged.items()]
    return "\n".join(lines)
