"""`suite.json`: what a run writes down of its suite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lwft_bench.execution.choice import Choice
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.result import SCHEMA_VERSION
from lwft_bench.schema.run import (
    CandidateRecord,
    Identity,
    SuiteCell,
    SuiteRecord,
    TuningRecord,
    plain_ablation,
)
from lwft_bench.suites.loading import Suite


def suite_record(
    suite: Suite, choices: Sequence[Choice], identities: Mapping[str, Identity]
) -> SuiteRecord:
    """Every cell, with its identity as far as that is known.

    Args:
        identities: Of trials and of all cells that can run, by id.
    """
    return SuiteRecord(
        schema_version=SCHEMA_VERSION,
        name=suite.name,
        title=suite.title,
        description=suite.description,
        baseline=suite.baseline,
        published=suite.published,
        tables=dict(suite.tables),
        claims=tuple(suite.claims),
        cells=tuple(_suite_cell(cell, identities) for cell in _cells(suite, choices)),
        trials=tuple(
            _suite_cell(trial, identities) for one in choices for trial in one.tuning.trials
        ),
        tunings=tuple(map(_tuning_record, choices)),
    )


def _cells(suite: Suite, choices: Sequence[Choice]) -> Iterator[Cell]:
    yield from suite.cells
    for choice in choices:
        yield from choice.cells or choice.tuning.cells


def _suite_cell(cell: Cell, identities: Mapping[str, Identity]) -> SuiteCell:
    identity = identities.get(cell.id)
    return SuiteCell(
        id=cell.id,
        model=cell.model.name,
        method=cell.method.name,
        task=cell.task.name,
        seed=cell.seed,
        ablation=plain_ablation(cell.ablation),
        identity=identity.digest if identity else None,
        identity_components=dict(identity.components) if identity else {},
    )


def _tuning_record(choice: Choice) -> TuningRecord:
    first = choice.tuning.cells[0]
    return TuningRecord(
        model=first.model.name,
        method=first.method.name,
        task=first.task.name,
        ablation=plain_ablation(first.ablation),
        candidates=tuple(
            CandidateRecord(
                values=plain_ablation(one.values), trials=tuple(trial.id for trial in one.trials)
            )
            for one in choice.tuning.candidates
        ),
        cells=tuple(cell.id for cell in choice.tuning.cells),
        ended=choice.ended,
        chosen=plain_ablation(choice.chosen.values) if choice.chosen else None,
    )
