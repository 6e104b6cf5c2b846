"""A group's state as a checkpoint has it: named views, waited for where an engine moves them."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from lwft_bench.state.engine import Engine, Queue, Wait
from lwft_bench.state.group_state import GroupState


def views_to_read(group: GroupState, engine: Engine) -> Iterator[tuple[str, torch.Tensor]]:
    """Each tensor of state that there is, where it is, under `<parameter>.<bucket>.<field>`."""
    for place, bucket, home in group.filled():
        if not home.resident:
            engine.wait(Queue.HOST, home.written, Wait.SAVED)
            engine.host_access([home.memory], [])
        for field, view in bucket.views(home.memory).items():
            yield f"{place}.{field}", view


def views_to_fill(group: GroupState, engine: Engine) -> Iterator[tuple[str, torch.Tensor]]:
    """Those that its step counters say were saved, in state that was just made."""
    for index, counter in enumerate(group.steps):
        for home in group.homes[index] if group.homes else ():
            home.filled = home.resident or counter > 0
    for place, bucket, home in group.filled():
        if not home.resident:
            engine.host_access([], [home.memory])
        for field, view in bucket.views(home.memory).items():
            yield f"{place}.{field}", view
