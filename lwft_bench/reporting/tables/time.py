"""Where the time of a run's cells went."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.render.table import Column, Table, tabulate
from lwft_bench.schema.result import CellResult

_WORDS = {
    "load": "loading model and data",
    "plan": "accounting for memory and operations, judging",
    "validate": "validation",
    "evaluate": "evaluation",
    "save": "saving weights",
}
_NOTE = (
    "Seconds of all cells together, of the processes that ended them; cells that run at once count "
    "each. Between steps: {}checkpoints, checksums of the engagement checks and the discarded "
    "first step. Starting processes, what is checked before a run, timing by turns and reports are in "
    "no cell."
)


@dataclass(frozen=True)
class _Part:
    """What the cells did, for how long in all, and how many of them."""

    name: str
    seconds: float
    cells: int
    share: float


def build(context: Context) -> Table | None:
    """None where no cell has recorded it."""
    seconds: defaultdict[str, float] = defaultdict(float)
    cells: Counter[str] = Counter()
    for cell in context.records.cells:
        for name, number in _parts(cell.result) if cell.result else ():
            seconds[name] += number
            cells[name] += 1
    total = sum(seconds.values())
    if not total:
        return None
    parts = [_Part(name, number, cells[name], number / total) for name, number in seconds.items()]
    parts.sort(key=lambda part: -part.seconds)
    note = _NOTE.format("" if _WORDS["validate"] in seconds else "validation, ")
    return tabulate("time", "where the time went", parts, _COLUMNS, notes=(note,))


def _parts(result: CellResult) -> Iterator[tuple[str, float]]:
    """Training is told apart by what its steps took."""
    phases = dict(result.phase_seconds)
    speed = result.throughput
    between = phases.pop("train", 0.0) + phases.pop("probe", 0.0)
    if speed is not None and between:
        inside = {
            "training steps": speed.training_seconds,
            "probing steps": speed.probing_seconds,
            "measuring units": speed.measuring_seconds,
            "selecting and switching units": speed.switching_seconds,
        }
        yield from ((name, number) for name, number in inside.items() if number)
        # A cell that went on from a checkpoint has steps that this process did not make.
        between = max(0.0, between - sum(inside.values()))
    if between:
        yield "between steps", between
    yield from ((_WORDS.get(phase, phase), number) for phase, number in phases.items())


_COLUMNS: list[Column[_Part]] = [
    Column("what", lambda part: part.name, plain="what"),
    Column("s", lambda part: part.seconds, lambda value: f"{value:,.1f}", "seconds"),
    Column("share", lambda part: part.share, lambda share: f"{100 * share:.1f} %", "share"),
    Column("cells", lambda part: part.cells, plain="cells"),
]
