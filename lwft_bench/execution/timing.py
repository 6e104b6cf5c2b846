"""The methods of a suite timed by turns, one model and task after the other, and noted in the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from lwft_bench.execution.local import LocalExecutor
from lwft_bench.execution.options import RunOptions
from lwft_bench.execution.pool import Server
from lwft_bench.execution.worker import PlacedTiming, tell_timing
from lwft_bench.results.store import RunStore, State
from lwft_bench.results.timing import read_timing, write_timing
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.run import Identity, trained_as
from lwft_bench.schema.timing import TimedSet, TimingConfig, TimingHeader, TimingRow
from lwft_bench.timing.job import TimingJob
from lwft_bench.timing.turns import Chosen

Say = Callable[[str], None]


def ready_to_time(
    store: RunStore, cells: Sequence[Cell], identities: Mapping[str, Identity]
) -> list[Cell]:
    """Cells that are done; none while another of them is left to run."""
    states = {cell.id: store.state(cell.id, identities[cell.id]).state for cell in cells}
    if not set(states.values()) <= {State.DONE, State.FAILED}:
        return []
    return [cell for cell in cells if states[cell.id] is State.DONE]


class TimingStage:
    """Times what of a suite has not been timed yet.

    Args:
        executor: What runs the run's cells: it says where, and with how many threads. It may be dear to
            make, and is asked for where something is to be timed.
        go_on: Whether nobody has asked to stop.
    """

    def __init__(
        self,
        store: RunStore,
        timing: TimingConfig,
        executor: Callable[[], LocalExecutor],
        options: RunOptions,
        go_on: Callable[[], bool],
        say: Say,
    ) -> None:
        self._store = store
        self._timing = timing
        self._executor = executor
        self._options = options
        self._go_on = go_on
        self._say = say

    def run(
        self, cells: Iterable[Cell], identities: Mapping[str, Identity], *, again: bool
    ) -> None:
        """Times one cell for each method, of each model and task that has several, and notes it.

        What goes wrong costs the figures of its model and task, and is said.

        Args:
            again: Whether also what was timed before.
        """
        for chosen in _sets(cells):
            digests = {cell.id: trained_as(identities[cell.id].components) for cell in chosen}
            if (again or not self._is_timed(chosen, digests)) and self._go_on():
                self._time(chosen, digests)

    def _time(self, cells: tuple[Cell, ...], digests: Mapping[str, str]) -> None:
        first = cells[0]
        name = f"{first.model.name} on {first.task.name}"
        self._say(
            f"timing {len(cells)} methods by turns, {name}: {self._timing.pairs} pairs of "
            f"{self._timing.steps} steps"
        )
        recorded = {cell.id: self._recorded(cell.id, digests[cell.id]) for cell in cells}
        executor = self._executor()
        threads = first.training.threads or executor.threads
        job = TimingJob(cells, digests, recorded, self._timing, threads)
        server = Server(self._options.preload)
        found = server.told(
            tell_timing,
            PlacedTiming(job, executor.place(first)),
            self._go_on,
            self._options.hang_seconds,
        )
        if not self._go_on():
            return
        if not isinstance(found, tuple):
            problem = found or "its process ended without an answer"
            self._say(f"warning: {name} was not timed: {problem}")
            found = (_untimed(job, problem), [])
        self._note(*found)

    def _is_timed(self, cells: Sequence[Cell], digests: Mapping[str, str]) -> bool:
        """Whether these methods, or more, were timed as they are now, and as often."""
        header, _ = self._earlier()
        if header is None or (header.pairs, header.steps) != self._asked:
            return False
        timed = {one.cell: one.digest for each in header.sets for one in each.cells}
        return all(timed.get(cell.id) == digests[cell.id] for cell in cells)

    def _earlier(self) -> tuple[TimingHeader | None, list[TimingRow]]:
        """What was noted before; nothing where that cannot be read: it is made anew."""
        try:
            return read_timing(self._store.directory)
        except UserError:
            return None, []

    @property
    def _asked(self) -> tuple[int, int]:
        return self._timing.pairs, self._timing.steps

    def _recorded(self, cell_id: str, digest: str) -> list[tuple[Chosen, int]]:
        """The selections of the cell, if it has run as it is now; none if it has not."""
        if not self._store.has_result(cell_id):
            return []
        try:
            if trained_as(self._store.read_result(cell_id).identity_components) != digest:
                return []
            _, rows = self._store.selections(cell_id)
        except UserError:
            return []
        return [(Chosen(row.units, row.observed or ()), row.num_steps) for row in rows]

    def _note(self, timed: TimedSet, rows: list[TimingRow]) -> None:
        """Beside the sets of other models and tasks that were timed alike."""
        header, earlier = self._earlier()
        others: list[TimedSet] = []
        if header is not None and (header.pairs, header.steps) == self._asked:
            pair = (timed.model, timed.task)
            others = [one for one in header.sets if (one.model, one.task) != pair]
        kept = {cell.cell for one in others for cell in one.cells}
        write_timing(
            self._store.directory,
            self._asked,
            [*others, timed],
            [*(row for row in earlier if row.cell in kept), *rows],
        )


def _sets(cells: Iterable[Cell]) -> list[tuple[Cell, ...]]:
    """Of each model and task, the cell with the lowest seed of each method that trains, in one process:
    those whose processes share out the model have no turn.
    """
    chosen: dict[tuple[str, str], dict[str, Cell]] = {}
    for cell in cells:
        alone = not cell.training.sharded
        if cell.method.trains and not cell.trial and cell.training.steps and alone:
            methods = chosen.setdefault((cell.model.name, cell.task.name), {})
            label = f"{cell.method.name} {sorted(cell.ablation.items())}"
            if label not in methods or cell.seed < methods[label].seed:
                methods[label] = cell
    return [tuple(methods.values()) for methods in chosen.values()]


def _untimed(job: TimingJob, problem: str) -> TimedSet:
    first = job.cells[0]
    return TimedSet(
        model=first.model.name,
        task=first.task.name,
        cells=tuple(job.timed_cell(cell, "one") for cell in job.cells),
        device="",
        threads=job.threads,
        problem=problem,
    )
