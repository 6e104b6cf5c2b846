"""Memory over the operations of one step, from a `MemoryAccount`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lwft_bench.memory.accounting import HOST, MemoryAccount
from lwft_bench.schema.result import StepMemory

_MOST_INSTANTS = 150
_Instant = tuple[int, str, dict[str, int]]
"""Number of the operation, phase, and bytes by component after it."""


class StepRecorder:
    """Keeps, of the steps that it is shown, the one that needs most."""

    def __init__(self, account: MemoryAccount) -> None:
        self._account = account
        self._dearest: list[_Instant] = []

    @contextmanager
    def step(self) -> Iterator[None]:
        """What is done inside is one step."""
        instants: list[_Instant] = []

        def take() -> None:
            phases, _ = self._account.state
            phase = phases[-1] if phases else ""
            instants.append((len(instants), phase, self._account.live))

        before, self._account.after_operation = self._account.after_operation, take
        try:
            yield
        finally:
            self._account.after_operation = before
        if instants and _peak(instants) > _peak(self._dearest):
            self._dearest = instants

    def recorded(self) -> StepMemory | None:
        """None where no step was shown. Of neighbouring instants the one that needs most stands for
        all, so that the peak is among them.
        """
        if not self._dearest:
            return None
        every = -(-len(self._dearest) // _MOST_INSTANTS)
        kept = [
            max(self._dearest[start : start + every], key=_total)
            for start in range(0, len(self._dearest), every)
        ]
        names = dict.fromkeys(name for _, _, live in kept for name in live if name != HOST)
        return StepMemory(
            operations=[number for number, _, _ in kept],
            phases=[phase for _, phase, _ in kept],
            components={name: [live.get(name, 0) for _, _, live in kept] for name in names},
        )


def _total(instant: _Instant) -> int:
    return sum(instant[2].values())


def _peak(instants: list[_Instant]) -> int:
    return max(map(_total, instants), default=0)
