"""What else a machine did while something on it was timed."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict

WAITING_SHARE = 0.05
"""Of the time in which a process could have run; above it, its figures were taken under contention."""
HELD_SHARE = 0.9
"""Of one processor, which a process on the CPU keeps busy unless others do; where the kernel does not
tell how long it waited."""
SLOWED = frozenset(
    {"hardware slowdown", "software thermal", "hardware thermal", "hardware power brake"}
)
"""Reasons for a device's lower clocks that its own work does not explain."""


class Load(BaseModel):
    """The load of a machine while something was timed, as far as it can be seen from one process."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wall_seconds: float
    processor_seconds: float
    """Of all threads of the process."""
    waiting_seconds: float | None = None
    """In which threads could have run and had no processor (Linux: `schedstat`)."""
    involuntary_switches: int
    """How often another process was given the processor instead."""
    load_average: float | None = None
    """Processes that ran or waited, over the last minute, at the end."""
    cores: int
    """That the process may use."""
    device_processes: int | None = None
    """Others that were seen on the accelerator (NVML); None where there is none."""
    clocks: tuple[str, ...] = ()
    """Reasons that were seen for the accelerator's clocks being lower than they could be (NVML)."""
    on_cpu: bool = True
    """Whether the process itself computed."""

    @property
    def waiting_share(self) -> float | None:
        """Of the time in which threads could have run."""
        if self.waiting_seconds is None:
            return None
        return self.waiting_seconds / max(self.waiting_seconds + self.processor_seconds, 1e-9)

    @property
    def contention(self) -> tuple[str, ...]:
        """What says that others took part of the machine; empty where nothing does."""
        return tuple(self._contention())

    def _contention(self) -> Iterator[str]:
        share = self.waiting_share
        busy = self.processor_seconds / max(self.wall_seconds, 1e-9)
        if share is not None and share > WAITING_SHARE:
            yield f"waited for a processor {100 * share:.0f} % of the time"
        if share is None and self.on_cpu and busy < HELD_SHARE:
            yield f"had a processor {100 * busy:.0f} % of the time"
        if self.device_processes:
            yield f"shared the device with {self.device_processes} other processes"
        if slowed := [reason for reason in self.clocks if reason in SLOWED]:
            yield f"the device's clocks were lowered ({', '.join(slowed)})"
