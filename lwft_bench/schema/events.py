"""What a cell tells while it runs: a union of types, told apart by their class."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from lwft_bench.schema.result import Phase
from lwft_bench.schema.rows import StepRow

TELL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class PhaseBegan:
    """The cell has come to a phase."""

    phase: Phase


@dataclass(frozen=True, slots=True)
class StepsDone:
    """Readings of training steps were fetched.

    step: steps done, negative while probing. steps: those that there are to do. loss: the last one's.
    memory_bytes: allocated on the device; None on the CPU. rows: of the steps since the last event.
    """

    step: int
    steps: int
    loss: float
    tokens_per_second: float
    memory_bytes: int | None = None
    rows: tuple[StepRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Validated:
    """A validation loss was measured after `step` steps."""

    step: int
    loss: float


@dataclass(frozen=True, slots=True)
class BenchmarkScored:
    """A benchmark has its score, a share (0..1)."""

    benchmark: str
    value: float


@dataclass(frozen=True, slots=True)
class Stopped:
    """The cell has written a checkpoint, as it was asked to, and ends."""


@dataclass(frozen=True, slots=True)
class Progressed:
    """A long piece of work between other events goes on: `done` of `total` parts of it."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Noted:
    """Something that whoever watches the run must hear."""

    text: str


@dataclass(frozen=True, slots=True)
class DiskFull:
    """The cell could not write, and ends; it goes on from its last checkpoint once there is room."""

    text: str


@dataclass(frozen=True, slots=True)
class DeviceBroken:
    """The cell's device has failed, and the cell ends; it goes on from its last checkpoint elsewhere."""

    text: str


Event = (
    PhaseBegan
    | StepsDone
    | Validated
    | BenchmarkScored
    | Stopped
    | Progressed
    | Noted
    | DiskFull
    | DeviceBroken
)
Emit = Callable[[Event], None]


def seldom(emit: Emit) -> Callable[[int, int], None]:
    """Tells that so many parts of a total are done, at most once in TELL_SECONDS."""
    last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= TELL_SECONDS:
            last = time.monotonic()
            emit(Progressed(done, total))

    return tell
