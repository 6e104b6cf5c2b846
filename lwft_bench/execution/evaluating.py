"""Scores a finished run's cells on more benchmarks: with their kept weights, and without training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from lwft_bench.execution.options import RunOptions
from lwft_bench.execution.runner import run_cells
from lwft_bench.plugins.files import load_plugin
from lwft_bench.results.store import RunStore, State
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.findings import Findings
from lwft_bench.schema.run import Identity, SuiteRecord
from lwft_bench.suites.identity import identify, readable
from lwft_bench.suites.loading import Suite
from lwft_bench.suites.tasks import named_benchmarks


def evaluate_run(
    out: Path,
    benchmarks: Sequence[str],
    options: RunOptions | None = None,
    *,
    report: Callable[[Path], str] | None = None,
    console: Console | None = None,
) -> int:
    """Scores every finished cell on its benchmarks and on these.

    All benchmarks of a cell are scored together, as they are by a run that has them from the start; no
    cell takes another's scores.

    Args:
        benchmarks: Names of shipped ones, or paths of definitions.

    Returns:
        The exit code, as `run_suite`.

    Raises:
        UserError: This is no run directory, a benchmark is unknown, or a cell would have to be trained:
            its weights were not kept, or something else of it has changed.
    """
    more = named_benchmarks(benchmarks)
    store = RunStore(out)
    record = store.read_suite()
    finished = [cell.id for cell in record.cells if store.has_result(cell.id)]
    cells = [_with(store.config(cell_id), more) for cell_id in finished]
    for plugin in dict.fromkeys(plugin for cell in cells for plugin in cell.plugins):
        load_plugin(plugin)
    findings = Findings()
    readable(cells, findings)
    findings.raise_problems()
    identities = {cell.id: identify(cell) for cell in cells}
    _require_kept(store, cells, identities)
    suite = Suite(
        name=record.name,
        title=record.title,
        description=record.description,
        baseline=record.baseline,
        cells=cells,
        path=out / "suite.yaml",
        source_text=(out / "suite.yaml").read_text(encoding="utf-8"),
        keep_weights="all",
    )
    return run_cells(
        suite,
        store,
        identities,
        _renewed(record, identities),
        replace(options or RunOptions(), reuse=False),
        report=report,
        console=console,
    )


def _with(cell: Cell, benchmarks: Sequence[str]) -> Cell:
    every = dict.fromkeys([*cell.task.benchmarks, *benchmarks])
    task = cell.task.model_copy(update={"benchmarks": tuple(every)})
    return cell.model_copy(update={"task": task})


def _require_kept(
    store: RunStore, cells: Iterable[Cell], identities: Mapping[str, Identity]
) -> None:
    """Refuses to train: what `run` does, and is asked for."""
    problems = []
    for cell in cells:
        found = store.state(cell.id, identities[cell.id])
        if found.state in (State.DONE, State.UNSCORED) or not cell.method.trains:
            continue
        if found.state is State.FAILED:
            continue
        if found.changed == ("evaluation",):
            problems.append(f"{cell.id}: its weights were not kept")
        else:
            problems.append(
                f"{cell.id}: {' and '.join(found.changed)} changed since it was trained"
            )
    if problems:
        more = f" (and {len(problems) - 5} more)" if len(problems) > 5 else ""
        raise UserError(
            "\n  ".join(["these cells would have to be trained:", *problems[:5]]) + more,
            "`keep_weights: all` in the suite, or `run --save-weights`, keeps them from the next run on",
        )


def _renewed(record: SuiteRecord, identities: Mapping[str, Identity]) -> SuiteRecord:
    """The suite's record with the identities that its cells have now."""
    cells = tuple(
        cell.model_copy(
            update={
                "identity": identities[cell.id].digest,
                "identity_components": dict(identities[cell.id].components),
            }
        )
        if cell.id in identities
        else cell
        for cell in record.cells
    )
    return record.model_copy(update={"cells": cells})
