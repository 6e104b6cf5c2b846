"""The transfer engine of plans: it copies nothing, and runs no update whose like it has run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from lwft_bench.memory.accounting import MemoryAccount
from lwft_bench.state.engine import SynchronousEngine

_Kind = tuple[tuple[str, ...], int]
"""Phases, and bytes of state."""


class PlanningEngine(SynchronousEngine):
    """For fake tensors and an elementwise optimizer, whose updates of equal size are alike.

    A large model's update is tens of thousands of buckets. Each leaves behind what it found, so that
    one changes no peak if its like ran before in the same phase when no component was smaller.
    """

    def __init__(self, device: torch.device, account: MemoryAccount) -> None:
        super().__init__(device)
        self._account = account
        self._before: dict[_Kind, dict[str, int]] = {}
        """Bytes by component when an update of the kind last ran."""

    def copy_in(self, device: torch.Tensor, host: torch.Tensor) -> None:
        pass

    def copy_out(self, host: torch.Tensor, device: torch.Tensor) -> None:
        pass

    def compute(
        self,
        work: Callable[[], None],
        reads: Sequence[torch.Tensor],
        writes: Sequence[torch.Tensor],
    ) -> None:
        phases, now = self._account.state
        kind = (phases, sum(piece.numel() for piece in writes))
        before = self._before.get(kind)
        if before is not None and all(before.get(name, 0) >= n for name, n in now.items()):
            return
        self._before[kind] = now
        work()
