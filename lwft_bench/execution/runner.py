"""Runs what is not done yet of a suite, and reports on what there is."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from lwft_bench.cell.provenance import num_cores
from lwft_bench.execution.choice import Choice, choices, told
from lwft_bench.execution.conclusion import ALL_DONE, REPORT, conclude
from lwft_bench.execution.executor import Executor, Limits
from lwft_bench.execution.inventory import inventory
from lwft_bench.execution.loggers import make_loggers
from lwft_bench.execution.metric_logs import MetricLogs
from lwft_bench.execution.pool import Server
from lwft_bench.execution.progress import PlainProgress, progress_on
from lwft_bench.execution.ranked import RankedCells, follow, require_shares, threads_per_rank
from lwft_bench.execution.stopping import StopRequests, stop_requests
from lwft_bench.execution.suite_record import suite_record
from lwft_bench.execution.tracking import RunTracker
from lwft_bench.execution.worker import PreflightJob
from lwft_bench.results.made_from import inputs_digest, is_current, note
from lwft_bench.results.store import RunStore, State
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.result import CellResult
from lwft_bench.schema.run import Identity, SuiteRecord
from lwft_bench.suites.loading import Suite
from lwft_bench.training.ranks import ALONE, Ranks, launched


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How to run: no part of a cell's identity.

    Nothing measured depends on it but time and, through the threads of a cell, the last bits.
    """

    workers: int | None = None
    """Cells at once. None: one a core, or one alone where there is an accelerator."""
    retry_failed: bool = False
    save_weights: bool = False
    """Keep each cell's fine-tuned model in its folder."""
    hang_seconds: float = 1800.0
    """A cell that tells nothing for so long is killed."""
    stop_seconds: float = 30.0
    """What cells have for their checkpoints when they are asked to stop."""
    run_cell: str = "lwft_bench.cell.run:run_cell"
    """The "module:function" that runs a cell."""
    check: str = "lwft_bench.preflight.cells:check_cells"
    """The "module:function" that checks cells before any of them runs; "": none does."""
    loggers: tuple[str, ...] = ()
    """Which of "tensorboard", "wandb" and "trackio" take metrics while cells run."""
    preload: tuple[str, ...] = ("lwft_bench.execution.preload",)
    """Modules that the cells' server imports once for all of them."""


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
    with store.lock(), stop_requests() as stops:
        store.recover()
        run = _Run(suite, store, options, console, stops, ranks)
        run.execute()
        if store.results() or store.trial_results():
            _make_report(store, report or _report, console)
        return conclude(store, lambda text: _say(console, text))


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
    with store.lock(), stop_requests() as stops:
        store.recover()
        run = _Run(suite, store, options, console, stops, ALONE)
        store.write_suite(record, suite.source_text)
        run.stage(suite.name, suite.cells, identities)
        _make_report(store, report or _report, console)
        return conclude(store, lambda text: _say(console, text))


class _Run:
    """One call of `run_suite`: first the trials, if the suite tunes, then the cells."""

    def __init__(
        self,
        suite: Suite,
        store: RunStore,
        options: RunOptions,
        console: Console,
        stops: StopRequests,
        ranks: Ranks,
    ) -> None:
        self._suite = suite
        self._store = store
        self._options = options
        self._console = console
        self._stops = stops
        self._ranks = ranks
        self._ranked: RankedCells | None = None
        if ranks.world > 1:
            self._ranked = RankedCells(ranks, store, options.run_cell, self._saves_weights, stops)
        self._trials = [trial for tuning in suite.tunings for trial in tuning.trials]
        self._identities: dict[str, Identity] = {}
        self._loggers = make_loggers(options.loggers, store.directory) if options.loggers else []
        self._ended = {State.DONE} if options.retry_failed else {State.DONE, State.FAILED}

    def _saves_weights(self, cell: Cell) -> bool:
        return self._options.save_weights or self._suite.keeps_weights(cell)

    def execute(self) -> None:
        """Runs what is left of the trials and of the cells."""
        decided = self._decide()
        self._check(decided)
        self._note(decided)
        if self._trials:
            self.stage(f"{self._suite.name}, tuning", self._trials, self._identities)
            decided = self._decide()
            self._note(decided)
            for choice in decided:
                _say(self._console, told(choice))
        cells = self._cells(decided)
        if cells and not self._stops.count:
            self.stage(self._suite.name, cells, self._identities)
        if self._ranked:
            self._ranked.dismiss()

    def _check(self, decided: Sequence[Choice]) -> None:
        """Everything that will run and can be found wrong now.

        Raises:
            UserError: with all problems.
        """
        known = (*self._trials, *self._suite.all_cells, *self._cells(decided))
        cells = {cell.id: cell for cell in known}  # those of the winners, where they are known
        to_do = tuple(cell for cell in cells.values() if self._is_left(cell))
        if not to_do or not self._options.check:
            return
        if self._ranked:
            module, _, function = self._options.check.partition(":")
            found = getattr(importlib.import_module(module), function)(to_do)
        else:
            found = Server(self._options.preload).findings(PreflightJob(to_do, self._options.check))
        found = found.placed(self._suite.placed)
        found.raise_problems()
        for warning in found.warnings:
            _say(self._console, f"warning: {warning}")

    def _is_left(self, cell: Cell) -> bool:
        state = self._store.state(cell.id, self._suite.identity(cell)).state
        return state not in self._ended

    def _cells(self, decided: Sequence[Choice]) -> list[Cell]:
        """Those that can run."""
        return [*self._suite.cells, *(cell for choice in decided for cell in choice.cells)]

    def _decide(self) -> list[Choice]:
        return choices(self._suite, self._result)

    def _result(self, trial: Cell) -> CellResult | None:
        state = self._store.state(trial.id, self._suite.identity(trial)).state
        ended = state in (State.DONE, State.FAILED)
        return self._store.read_result(trial.id) if ended else None

    def _note(self, decided: Sequence[Choice]) -> None:
        """Write down the suite as far as it is known."""
        known = [*self._trials, *self._cells(decided)]
        self._identities = {cell.id: self._suite.identity(cell) for cell in known}
        record = suite_record(self._suite, decided, self._identities)
        self._store.write_suite(record, self._suite.source_text)

    def stage(self, name: str, cells: Sequence[Cell], identities: Mapping[str, Identity]) -> None:
        """Run the cells that are new, stale or interrupted."""
        self._identities = dict(identities)
        states = {cell.id: self._store.state(cell.id, self._identities[cell.id]) for cell in cells}
        for cell_id, state in states.items():
            if state.state in (State.STALE, State.DAMAGED):
                self._store.archive(cell_id)
        to_do = [cell for cell in cells if states[cell.id].state not in self._ended]
        _say(self._console, inventory(name, states, len(to_do)))
        if self._ranked:
            self._on_ranks(self._ranked, to_do)
        elif to_do:
            self._in_processes(to_do)

    def _in_processes(self, to_do: Sequence[Cell]) -> None:
        options, store = self._options, self._store
        server = Server(options.preload)
        # Of all cells and not of those that are left, so that a resumed run computes like the first.
        every = [*self._trials, *self._suite.all_cells]
        workers = options.workers or _num_workers(every, server)
        threads = max(1, num_cores() // workers)
        _say(
            self._console,
            f"{workers} at a time, {threads} CPU threads each; loading torch for all of them",
        )
        limits = Limits(workers, threads, options.hang_seconds, options.stop_seconds)
        save = self._saves_weights
        with self._progress(to_do) as progress:
            Executor(store, server, options.run_cell, save, progress, limits, self._stops).run(
                (cell, self._identities[cell.id]) for cell in to_do
            )

    def _progress(self, to_do: Sequence[Cell]) -> PlainProgress:
        logs = MetricLogs(self._loggers, to_do, lambda text: _say(self._console, text))
        return progress_on(self._console, RunTracker(len(to_do)), logs)

    def _on_ranks(self, ranked: RankedCells, to_do: Sequence[Cell]) -> None:
        require_shares(to_do, self._ranks)
        if to_do:
            world, threads = self._ranks.world, threads_per_rank()
            _say(self._console, f"one at a time over {world} ranks, {threads} CPU threads each")
        with self._progress(to_do) as progress:
            ranked.lead([(cell, self._identities[cell.id]) for cell in to_do], progress)


def _num_workers(cells: Sequence[Cell], server: Server) -> int:
    on_cpu = all(cell.training.device == "cpu" for cell in cells)
    if not on_cpu and server.accelerator() is not None:
        return 1
    return min(num_cores(), len(cells))


def _make_report(store: RunStore, report: Callable[[Path], str], console: Console) -> None:
    """Unless the one that is there was made from just this."""
    out = store.directory
    if is_current(out) and (out / REPORT).exists():
        return
    digest = inputs_digest(out)
    _say(console, report(out))
    note(out, digest)


def _report(out: Path) -> str:
    from lwft_bench.reporting.report import html_missing, terminal_summary, write_report

    write_report(out)
    return "\n".join(filter(None, ["", terminal_summary(out), "", html_missing()]))


def _say(console: Console, text: str) -> None:
    console.print(Text(text), soft_wrap=True)
