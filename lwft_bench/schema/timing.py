"""Methods timed by turns on the same batches: how a suite asks for it, and what is written of it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import NonNegativeInt, PositiveInt

from lwft_bench.schema.base import CellId, Config, Name
from lwft_bench.schema.load import Load
from lwft_bench.schema.rows import Row


class TimingConfig(Config):
    """How the methods of a suite are timed against each other once its cells have ended."""

    pairs: NonNegativeInt = 8
    """Rounds in which every method has its turn, in an order that is turned round each time; 0: methods
    are not timed."""
    steps: PositiveInt = 2
    """Timed steps of a turn, on batches that are the same for all methods. Where selections vary, a step
    has a low one and the next a high one."""


class TimedCell(Row):
    """A cell whose method was timed."""

    cell: CellId
    method: Name
    ablation: dict[str, Any] = {}
    digest: str
    """Over all components of its identity that training depends on."""
    selections: Literal["recorded", "simulated", "one"]
    """Where its selections come from: the cell's own run; its strategy on made-up gradients; there is
    only one."""


class TimedSet(Row):
    """The methods of one model and task that were timed by turns, in one process."""

    model: Name
    task: Name
    cells: tuple[TimedCell, ...]
    device: str
    """Its name, or the processor's."""
    threads: int
    load: Load | None = None
    """Of the machine meanwhile; None where nothing was timed."""
    problem: str | None = None
    """Why nothing was timed, in one line."""


class TimingHeader(Row):
    """The first line of `timing.jsonl`."""

    schema_version: int = 1
    pairs: int
    steps: int
    sets: tuple[TimedSet, ...]


class TimingRow(Row):
    """One timed step: a line of `timing.jsonl`."""

    cell: CellId
    pair: int
    turn: int
    """The method's place in its round."""
    step: int
    """Of the turn."""
    lowest: int | None
    """The depth of the lowest unit that trained; None: nothing but always-trained parts."""
    num_units: int
    """That trained."""
    seconds: float
    processor_seconds: float
    tokens: int
    """All but padding."""
    target_tokens: int
    padded_tokens: int
