"""Runs what is not done yet of a suite, and reports on what there is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.text import Text

from lwft_bench.data.caches import scores_folder
from lwft_bench.execution.checks import check_in_full, check_processes
from lwft_bench.execution.choice import Choice, choices, told
from lwft_bench.execution.company import SharedRun, joined
from lwft_bench.execution.conclusion import ALL_DONE, conclude, make_report
from lwft_bench.execution.inventory import inventory
from lwft_bench.execution.local_places import local_executor
from lwft_bench.execution.loggers import make_loggers
from lwft_bench.execution.options import RunOptions
from lwft_bench.execution.places import executor_of, require_place
from lwft_bench.execution.pool import Server
from lwft_bench.execution.progress import progress_on
from lwft_bench.execution.queue import CellQueue
from lwft_bench.execution.ranked import RankedCells, follow, threads_per_rank
from lwft_bench.execution.scheduler import Limits, Scheduler
from lwft_bench.execution.slurm import JobArray, told_place, watch
from lwft_bench.execution.stopping import StopRequests, stop_requests
from lwft_bench.execution.suite_record import suite_record
from lwft_bench.execution.timing import TimingStage, ready_to_time
from lwft_bench.execution.tracking import RunTracker
from lwft_bench.execution.worker import Job
from lwft_bench.results.store import RunStore, State
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.findings import Findings
from lwft_bench.schema.result import CellResult
from lwft_bench.schema.run import CellRecord, Identity, SuiteRecord
from lwft_bench.suites.loading import Suite
from lwft_bench.training.ranks import ALONE, Ranks, launched


def run_suite(
    suite: Suite,
    out: Path,
    options: RunOptions | None = None,
    *,
    report: Callable[[Path], str] | None = None,
    console: Console | None = None,
) -> int:
    """Run the suite's cells that are new, stale or interrupted, and write the report.

    Call it from the main thread: it answers to SIGINT and SIGTERM. Under torchrun every process calls
    it; cells then run one after another, over all of them.

    Args:
        report: Makes the report of a run directory and gives what to show of it on the terminal;
            None: `report.md` and everything beside it, and the main table.

    Returns:
        The exit code: ALL_DONE, SOME_FAILED or INTERRUPTED; under torchrun the first rank's counts,
        and the others' is ALL_DONE.

    Raises:
        UserError: If the directory cannot be used.
    """
    options = options or RunOptions()
    scores_folder()  # what is wrong with it is told now, and not after hours
    store = RunStore(out)
    ranks = ALONE
    if launched():
        if options.workers is not None:
            raise UserError("under torchrun cells run one at a time", "leave --workers out")
        ranks = Ranks.join()
        if ranks.rank > 0:
            follow(store, options.run_cell, ranks)
            return ALL_DONE
        # Cells print into this process's output, which then goes to their logs.
        console = console or Console(file=os.fdopen(os.dup(1), "w"))
    console = console or Console()
    with (
        joined(store, suite.name, options.lease_seconds, partial(_say, console)) as place,
        stop_requests() as stops,
    ):
        run = _Run(suite, place, options, console, stops, ranks)
        run.execute()
        if store.results() or store.trial_results():
            with place.claims.alone("report"):
                make_report(store, report, partial(_say, console))
        return conclude(store, partial(_say, console))


def run_cells(
    suite: Suite,
    store: RunStore,
    identities: Mapping[str, Identity],
    record: SuiteRecord,
    options: RunOptions,
    *,
    report: Callable[[Path], str] | None = None,
    console: Console | None = None,
) -> int:
    """Runs cells whose identities are known, and notes `record` as the directory's suite.

    Returns:
        The exit code.
    """
    console = console or Console()
    with (
        joined(store, suite.name, options.lease_seconds, partial(_say, console)) as place,
        stop_requests() as stops,
    ):
        run = _Run(suite, place, options, console, stops, ALONE)
        place.write_suite(record, suite.source_text)
        run.stage(suite.name, suite.cells, identities)
        with place.claims.alone("report"):
            make_report(store, report, partial(_say, console))
        return conclude(store, partial(_say, console))


class _Run:
    """One call of `run_suite`: first the trials, if the suite tunes, then the cells."""

    def __init__(
        self,
        suite: Suite,
        place: SharedRun,
        options: RunOptions,
        console: Console,
        stops: StopRequests,
        ranks: Ranks,
    ) -> None:
        self._suite = suite
        self._place = place
        self._store = store = place.store
        self._options = options
        self._console = console
        self._stops = stops
        self._ranks = ranks
        self._ranked: RankedCells | None = None
        if ranks.world > 1:
            self._ranked = RankedCells(
                ranks, store, options.run_cell, self._saves_weights, stops, options.reuse
            )
        require_place(options)
        self._jobs = JobArray(options.slurm, store.directory) if options.slurm else None
        self._trials = [trial for tuning in suite.tunings for trial in tuning.trials]
        self._identities: dict[str, Identity] = {}
        self._loggers = make_loggers(options.loggers, store.directory)
        self._ended = {State.DONE} if options.retry_failed else {State.DONE, State.FAILED}

    def _saves_weights(self, cell: Cell) -> bool:
        return self._options.save_weights or self._suite.keeps_weights(cell)

    def execute(self) -> None:
        """Runs what is left of the trials and of the cells."""
        decided = self._checked()
        if self._jobs and (warning := told_place(self._store.directory)):
            _say(self._console, warning)
        self._note(decided)
        if self._trials:
            self.stage(f"{self._suite.name}, tuning", self._trials, self._identities, waits=True)
            decided = self._decide()
            self._note(decided)
            for choice in decided:
                _say(self._console, told(choice))
        cells = self._cells(decided)
        if cells and not self._stops.count:
            self.stage(self._suite.name, cells, self._identities)
        if self._ranked:
            self._ranked.dismiss()
        if self._jobs:
            self._jobs.close()
        elif self._options.timing and not self._stops.count:
            self._time(cells)

    def _time(self, cells: Sequence[Cell]) -> None:
        """Times the methods against each other, if no cell is left and no other runner does."""
        if self._ranked or self._options.ray:
            return
        ready = ready_to_time(self._store, cells, self._identities)
        if not self._suite.timing.pairs or not ready or not self._place.claims.acquire(".timing"):
            return
        stage = TimingStage(
            self._store,
            self._suite.timing,
            lambda: local_executor(
                Server(self._options.preload), self._every_cell(), self._options
            )[0],
            self._options,
            lambda: not self._stops.count,
            partial(_say, self._console),
        )
        stage.run(ready, self._identities, again=False)

    def _every_cell(self) -> list[Cell]:
        return [*self._trials, *self._suite.all_cells]

    def _checked(self) -> list[Choice]:
        """What trials have decided, once all that will run and can be found wrong now was looked at.

        Raises:
            UserError: with all problems.
        """
        found = Findings()
        known = self._suite.readable(self._every_cell(), found)
        decided = [] if found.problems else self._decide()
        if not found.problems:  # with cells of the winners, where they are known
            known += self._cells(decided)
        to_do = [cell for cell in {cell.id: cell for cell in known}.values() if self._is_left(cell)]
        trained = [cell for cell in to_do if self._state(cell) is not State.UNSCORED]
        world = self._ranks.world if self._ranked else self._options.processes_per_cell
        check_processes(trained, world, found)
        check_in_full(to_do, self._options, self._ranked is not None, found)
        found = found.placed(self._suite.placed)
        found.raise_problems()
        for warning in found.warnings:
            _say(self._console, f"warning: {warning}")
        return decided

    def _state(self, cell: Cell) -> State:
        return self._store.state(cell.id, self._suite.identity(cell)).state

    def _is_left(self, cell: Cell) -> bool:
        return self._state(cell) not in self._ended

    def _cells(self, decided: Sequence[Choice]) -> list[Cell]:
        """Those that can run."""
        return [*self._suite.cells, *(cell for choice in decided for cell in choice.cells)]

    def _decide(self) -> list[Choice]:
        return choices(self._suite, self._result)

    def _result(self, trial: Cell) -> CellResult | None:
        ended = self._state(trial) in (State.DONE, State.FAILED)
        return self._store.read_result(trial.id) if ended else None

    def _note(self, decided: Sequence[Choice]) -> None:
        """Write down the suite as far as it is known."""
        known = [*self._trials, *self._cells(decided)]
        self._identities = {cell.id: self._suite.identity(cell) for cell in known}
        record = suite_record(self._suite, decided, self._identities)
        self._place.write_suite(record, self._suite.source_text)

    def stage(
        self,
        name: str,
        cells: Sequence[Cell],
        identities: Mapping[str, Identity],
        *,
        waits: bool = False,
    ) -> None:
        """Run the cells that are new, stale or interrupted.

        Args:
            waits: Whether what follows depends on them, so that others' have to be waited for.
        """
        self._identities = dict(identities)
        states = {cell.id: self._store.state(cell.id, self._identities[cell.id]) for cell in cells}
        to_do = [cell for cell in cells if states[cell.id].state not in self._ended]
        left = [(cell, self._identities[cell.id]) for cell in to_do]
        queue = CellQueue(self._store, self._place.claims, left)
        queue.archive()
        _say(self._console, inventory(name, states, len(to_do)))
        if self._ranked:
            self._on_ranks(self._ranked, to_do, queue)
        elif to_do and self._jobs:
            with progress_on(self._console, RunTracker(queue.num_waiting)) as progress:
                watch(self._jobs, queue, progress, self._stops)
        elif to_do:
            self._in_processes(to_do, queue, waits or self._options.wait)

    def _in_processes(self, to_do: Sequence[Cell], queue: CellQueue, waits: bool) -> None:
        say = partial(_say, self._console)
        executor = executor_of(self._place, self._every_cell(), self._options, say)
        limits = Limits(self._options.hang_seconds, self._options.stop_seconds, waits)
        store, claims = self._store, self._place.claims
        with progress_on(
            self._console, RunTracker(queue.num_waiting), self._loggers, to_do
        ) as progress:
            Scheduler(store, claims, executor, self._job, progress, limits, self._stops).run(queue)

    def _job(self, cell: Cell, record: CellRecord) -> Job:
        folder, runner = self._store.work_folder(cell.id), self._place.claims.own_file
        saves = self._saves_weights(cell)
        run_cell, reuse = self._options.run_cell, self._options.reuse
        return Job(cell, record, folder, run_cell, saves, runner, reuse=reuse)

    def _on_ranks(self, ranked: RankedCells, to_do: Sequence[Cell], queue: CellQueue) -> None:
        world, threads = self._ranks.world, threads_per_rank()
        if to_do:
            _say(self._console, f"one at a time over {world} ranks, {threads} CPU threads each")
        with progress_on(self._console, RunTracker(len(to_do)), self._loggers, to_do) as progress:
            ranked.lead(queue, progress)


def _say(console: Console, text: str) -> None:
    console.print(Text(text), soft_wrap=True)
