"""What a run comes to in the end: a report, words, and an exit code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lwft_bench.cell.provenance import command_line
from lwft_bench.execution.progress import outcome
from lwft_bench.results.made_from import inputs_digest, is_current, note
from lwft_bench.results.store import RunStore

REPORT = "report.md"

ALL_DONE, SOME_FAILED, INTERRUPTED = 0, 1, 130
"""Exit codes. Bad input, a UserError, is the command line's 2."""


def conclude(store: RunStore, say: Callable[[str], None]) -> int:
    """Say how the run stands and how to go on; gives the exit code.

    A trial that diverged has lost, which is no failure of the run.
    """
    suite = store.read_suite()
    num_cells = len(suite.cells) + len(suite.trials)
    results, trials = store.results(), store.trial_results()
    ended = [*trials, *results]
    barred = {
        cell_id
        for one in suite.tunings
        if one.ended and one.chosen is None
        for cell_id in one.cells
    }.difference(result.cell for result in results)
    num_left = num_cells - len(ended) - len(barred)
    failures = [result for result in ended if result.status != "done"]
    for result in failures:
        say(f"{result.cell}: {outcome(result)}")
    lost = [result for result in trials if result.status == "diverged"]
    failures = [result for result in failures if result not in lost]
    if failures:
        say("failed cells run again with --retry failed")
    if num_left:
        say(f"{num_left} of {num_cells} cells are left, and nothing done is lost")
        say(f"to go on: {command_line()}")
    if ended:
        say(f"report: {store.directory / REPORT}")
    if num_left:
        return INTERRUPTED
    return SOME_FAILED if failures or barred else ALL_DONE


def make_report(
    store: RunStore, report: Callable[[Path], str] | None, say: Callable[[str], None]
) -> None:
    """Unless the one that is there was made from just this.

    Args:
        report: As of `run_suite`.
    """
    out = store.directory
    if is_current(out) and (out / REPORT).exists():
        return
    digest = inputs_digest(out)
    say((report or _report)(out))
    note(out, digest)


def _report(out: Path) -> str:
    from lwft_bench.reporting.report import html_missing, terminal_summary, write_report

    write_report(out)
    parts = ["", terminal_summary(out), "", html_missing()]
    return "\n".join(part for part in parts if part is not None)
