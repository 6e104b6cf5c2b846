"""Runs of one suite that were made in several places, put together in one directory.

Everything lies as in any run, so that reports keep apart what they always do. Where two runs have the
same cell, one has its place, and the other goes to `apart/<run>/<cell id>/` if it differs in what
comparisons need.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lwft_bench.reporting.numbers.comparability import hardware
from lwft_bench.reporting.read.records import ReportedCell
from lwft_bench.results.atomic import (
    make_folder,
    require_empty,
    write_json_atomic,
    write_text_atomic,
)
from lwft_bench.results.correctness import CORRECTNESS
from lwft_bench.results.store import CHECKPOINT, RunStore
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.run import SuiteCell, SuiteRecord, TuningRecord

SETTINGS = ("device", "torch", "dtype", "protocol")


@dataclass(frozen=True, slots=True)
class FoundCell:
    """A finished cell of one of the runs. setting: a value for each of `SETTINGS`."""

    run: Path
    cell_id: str
    identity: str
    done: bool
    setting: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return RunStore(self.run).cell_folder(self.cell_id)


def merge_runs(runs: Sequence[Path], out: Path) -> list[str]:
    """Writes the runs' finished cells into one directory; gives what is to be said of it.

    Of two results of a cell that one is taken which is done, then that on the device, torch, dtype and
    protocol that most cells have, then that of the first run. Results of other identities count as
    different cells would: they are told, and kept apart.

    Raises:
        UserError: `out` has something in it, or these are not runs of one suite, not packed.
    """
    require_empty(out)
    suites = {run: RunStore(run).read_suite() for run in runs}
    _require_one_suite(suites)
    found = [cell for run, suite in suites.items() for cell in _finished(run, suite)]
    counts = Counter(cell.setting for cell in found if cell.done)
    usual = counts.most_common(1)[0][0] if counts else None
    order = sorted(found, key=lambda cell: (not cell.done, cell.setting != usual))
    taken: dict[str, FoundCell] = {}
    apart: list[FoundCell] = []
    for cell in order:  # sorted keeps the order of the runs
        first = taken.setdefault(cell.cell_id, cell)
        differs = (cell.setting, cell.identity) != (first.setting, first.identity)
        if cell is not first and cell.done and differs:
            apart.append(cell)
    make_folder(out)
    for cell in taken.values():
        _copy(cell, RunStore(out).cell_folder(cell.cell_id))
    for cell in apart:
        _copy(cell, out / "apart" / _name(cell.run, runs) / cell.cell_id)
    record = _merged(list(suites.values()), taken)
    write_text_atomic(out / "suite.yaml", (runs[0] / "suite.yaml").read_text(encoding="utf-8"))
    write_json_atomic(out / "suite.json", record.model_dump(mode="json"))
    return list(_told(runs, record, taken, apart))


def _require_one_suite(suites: dict[Path, SuiteRecord]) -> None:
    first, *others = suites
    for run in others:
        if suites[run].name != suites[first].name:
            raise UserError(
                f"{run} is a run of suite `{suites[run].name}`, and {first} one of "
                f"`{suites[first].name}`",
                "runs of one suite can be merged",
            )
    for run in suites:
        if (run / CORRECTNESS).exists():
            raise UserError(f"{run} is packed", "merge runs before they are packed")


def _finished(run: Path, suite: SuiteRecord) -> Iterator[FoundCell]:
    store = RunStore(run)
    for cell in (*suite.cells, *suite.trials):
        if not store.has_result(cell.id):
            continue
        result, config = store.read_result(cell.id), store.config(cell.id)
        reported = ReportedCell(
            cell.id, cell.model, cell.method, cell.task, cell.seed, cell.ablation, result.status,
            config.method.trains, config, result,
        )  # fmt: skip
        setting = (
            hardware(reported) or "not recorded",
            str(result.provenance.get("versions", {}).get("torch") or "not recorded"),
            config.training.precision,
            result.identity_components.get("protocol", "not recorded")[:12],
        )
        yield FoundCell(run, cell.id, result.identity, reported.done, setting)


def _copy(cell: FoundCell, target: Path) -> None:
    """All but checkpoints; a link stays one and is not followed."""
    ignored = shutil.ignore_patterns(CHECKPOINT, f".{CHECKPOINT}")
    shutil.copytree(cell.folder, target, symlinks=True, ignore=ignored)


def _name(run: Path, runs: Sequence[Path]) -> str:
    """The folder's, with a number where several are called alike."""
    alike = [one for one in runs if one.resolve().name == run.resolve().name]
    name = run.resolve().name
    return name if len(alike) == 1 else f"{name}-{alike.index(run) + 1}"


def _merged(suites: Sequence[SuiteRecord], taken: dict[str, FoundCell]) -> SuiteRecord:
    """Every cell that one of the suites has, with the identity of its result where it has one."""
    tunings: dict[str, TuningRecord] = {}
    for suite in suites:
        for tuning in suite.tunings:
            key = repr((tuning.model, tuning.method, tuning.task, tuning.ablation))
            known = tunings.setdefault(key, tuning)
            if known.chosen is None:
                tunings[key] = tuning
    return suites[0].model_copy(
        update={
            "cells": _united([suite.cells for suite in suites], taken),
            "trials": _united([suite.trials for suite in suites], taken),
            "tunings": tuple(tunings.values()),
        }
    )


def _united(
    cells: Sequence[Sequence[SuiteCell]], taken: dict[str, FoundCell]
) -> tuple[SuiteCell, ...]:
    known: dict[str, SuiteCell] = {}
    for cell in (cell for some in cells for cell in some):
        chosen = taken.get(cell.id)
        if cell.id not in known or (chosen is not None and chosen.identity == cell.identity):
            known[cell.id] = cell
    return tuple(known.values())


def _told(
    runs: Sequence[Path],
    record: SuiteRecord,
    taken: dict[str, FoundCell],
    apart: Sequence[FoundCell],
) -> Iterator[str]:
    total = len(record.cells) + len(record.trials)
    yield f"{len(taken)} of {total} cells, from {len(runs)} runs"
    for number, name in enumerate(SETTINGS):
        values: dict[str, list[str]] = {}
        for cell in taken.values():
            if cell.done:
                values.setdefault(cell.setting[number], []).append(cell.cell_id)
        if len(values) > 1:
            counts = "; ".join(f"{value}: {len(cells)} cells" for value, cells in values.items())
            yield f"cells differ in {name}, and the report keeps them apart: {counts}"
    for cell in apart:
        first = taken[cell.cell_id]
        differing = [
            f"{name} ({cell.setting[number]}, not {first.setting[number]})"
            for number, name in enumerate(SETTINGS)
            if cell.setting[number] != first.setting[number]
        ] or ["configuration, data, model or code"]
        place = f"apart/{_name(cell.run, runs)}"
        yield f"{cell.cell_id} of {cell.run} differs in {' and '.join(differing)}: kept in {place}/"
    if missing := total - len(taken):
        yield f"{missing} cells have no result in any of the runs"
