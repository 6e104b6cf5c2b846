"""Runs what is not done yet of a suite, and reports on what there is."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from lwft_bench.config.loading import Suite
from lwft_bench.config.models import Cell
from lwft_bench.errors import UserError
from lwft_bench.execution.executor import Executor, Limits
from lwft_bench.execution.pool import Server
from lwft_bench.execution.progress import outcome, progress_on
from lwft_bench.execution.provenance import command_line, num_cores
from lwft_bench.execution.ranked import RankedCells, follow, require_shares, threads_per_rank
from lwft_bench.execution.stopping import StopRequests, stop_requests
from lwft_bench.execution.tracking import RunTracker
from lwft_bench.results.records import Identity, SuiteCell, SuiteRecord, plain_ablation
from lwft_bench.results.schema import SCHEMA_VERSION
from lwft_bench.results.store import CellState, RunStore, State
from lwft_bench.training.ranks import ALONE, Ranks, launched

REPORT = "report.md"

ALL_DONE, SOME_FAILED, INTERRUPTED = 0, 1, 130
"""Exit codes. Bad input, a UserError, is the command line's 2."""


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
    run_cell: str = "lwft_bench.execution.cell:run_cell"
    """The "module:function" that runs a cell."""
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
            follow(suite.cells, store, options.run_cell, ranks)
            return ALL_DONE
        # Cells print into this process's output, which then goes to their logs.
        console = console or Console(file=os.fdopen(os.dup(1), "w"))
    console = console or Console()
    identities = {cell.id: suite.identity(cell) for cell in suite.cells}
    with store.lock(), stop_requests() as stops:
        store.recover()
        states = {name: store.state(name, identity) for name, identity in identities.items()}
        changed = store.write_suite(_record(suite, identities), suite.source_text)
        for cell_id, state in states.items():
            if state.state is State.STALE:
                store.archive(cell_id)
        leave = {State.DONE} if options.retry_failed else {State.DONE, State.FAILED}
        to_do = [cell for cell in suite.cells if states[cell.id].state not in leave]
        _say(console, _inventory(suite.name, states, len(to_do)))
        if ranks.world > 1:
            _execute_on_ranks(ranks, to_do, identities, store, options, console, stops)
        elif to_do:
            _execute(suite, to_do, identities, store, options, console, stops)
        if store.results() and (to_do or changed or not (out / REPORT).exists()):
            _say(console, (report or _report)(out))
        return _conclude(store, console)


def _execute(
    suite: Suite,
    to_do: Sequence[Cell],
    identities: Mapping[str, Identity],
    store: RunStore,
    options: RunOptions,
    console: Console,
    stops: StopRequests,
) -> None:
    server = Server(options.preload)
    # Of all cells and not of those that are left, so that a resumed run computes like the first.
    workers = options.workers or _num_workers(suite.cells, server)
    threads = max(1, num_cores() // workers)
    _say(console, f"{workers} at a time, {threads} CPU threads each; loading torch for all of them")
    limits = Limits(workers, threads, options.hang_seconds, options.stop_seconds)
    with progress_on(console, RunTracker(len(to_do))) as progress:
        Executor(
            store, server, options.run_cell, options.save_weights, progress, limits, stops
        ).run((cell, identities[cell.id]) for cell in to_do)


def _execute_on_ranks(
    ranks: Ranks,
    to_do: Sequence[Cell],
    identities: Mapping[str, Identity],
    store: RunStore,
    options: RunOptions,
    console: Console,
    stops: StopRequests,
) -> None:
    require_shares(to_do, ranks)
    if to_do:
        threads = threads_per_rank()
        _say(console, f"one at a time over {ranks.world} ranks, {threads} CPU threads each")
    cells = RankedCells(ranks, store, options.run_cell, options.save_weights, stops)
    with progress_on(console, RunTracker(len(to_do))) as progress:
        cells.lead([(cell, identities[cell.id]) for cell in to_do], progress)


def _num_workers(cells: Sequence[Cell], server: Server) -> int:
    on_cpu = all(cell.training.device == "cpu" for cell in cells)
    if not on_cpu and server.accelerator() is not None:
        return 1
    return min(num_cores(), len(cells))


def _record(suite: Suite, identities: Mapping[str, Identity]) -> SuiteRecord:
    return SuiteRecord(
        schema_version=SCHEMA_VERSION,
        name=suite.name,
        title=suite.title,
        description=suite.description,
        baseline=suite.baseline,
        cells=tuple(
            SuiteCell(
                id=cell.id,
                model=cell.model.name,
                method=cell.method.name,
                task=cell.task.name,
                seed=cell.seed,
                ablation=plain_ablation(cell.ablation),
                identity=identities[cell.id].digest,
                identity_components=dict(identities[cell.id].components),
            )
            for cell in suite.cells
        ),
    )


def _inventory(name: str, states: Mapping[str, CellState], num_to_do: int) -> str:
    """What there is, and what is stale since which component changed."""
    if all(state.state is State.DONE for state in states.values()):
        return f"{name}: nothing to do: all {len(states)} cells are done"
    counts = Counter(state.state for state in states.values())
    parts = ", ".join(f"{counts[state]} {state}" for state in State if counts[state])
    lines = [f"{name}: {'' if num_to_do else 'nothing to do: '}{len(states)} cells: {parts}"]
    stale: dict[tuple[str, ...], list[str]] = {}
    for cell_id, state in states.items():
        if state.state is State.STALE:
            stale.setdefault(state.changed, []).append(cell_id)
    for changed, cells in stale.items():
        lines.append(f"stale, since {' and '.join(changed)} changed (kept in stale/):")
        lines += [f"  {cell_id}" for cell_id in cells]
    return "\n".join(lines)


def _report(out: Path) -> str:
    from lwft_bench.reporting.report import terminal_summary, write_report

    write_report(out)
    return f"\n{terminal_summary(out)}\n"


def _conclude(store: RunStore, console: Console) -> int:
    """Say how the run stands and how to go on; gives the exit code."""
    num_cells = len(store.read_suite().cells)
    results = store.results()
    failures = [result for result in results if result.status != "done"]
    num_left = num_cells - len(results)
    for result in failures:
        _say(console, f"{result.cell}: {outcome(result)}")
    if failures:
        _say(console, "failed cells run again with --retry failed")
    if num_left:
        _say(console, f"{num_left} of {num_cells} cells are left, and nothing done is lost")
        _say(console, f"to go on: {command_line()}")
    if results:
        _say(console, f"report: {store.directory / REPORT}")
    if num_left:
        return INTERRUPTED
    return SOME_FAILED if failures else ALL_DONE


def _say(console: Console, text: str) -> None:
    console.print(Text(text), soft_wrap=True)
