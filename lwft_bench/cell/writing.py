"""A cell's last step: its files, `result.json` after all others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lwft_bench.cell.loading import Loaded
from lwft_bench.cell.measurements import confounds
from lwft_bench.cell.measuring import Measured
from lwft_bench.cell.outcomes import new_result
from lwft_bench.cell.scoring import Scored
from lwft_bench.results.reading import read_cell_record
from lwft_bench.results.rows import write_rows
from lwft_bench.results.store import (
    SAMPLES,
    SELECTIONS,
    STEPS,
    write_result,
)
from lwft_bench.schema.result import CellResult


def write_trace(folder: Path, measured: Measured) -> None:
    """Steps and selections, which are there even if the evaluation that follows fails."""
    write_rows(folder / STEPS, measured.steps)
    write_rows(folder / SELECTIONS, (measured.header, *measured.selections))


def write(
    folder: Path,
    loaded: Loaded,
    measured: Measured | None,
    scored: Scored | None,
    provenance: dict[str, Any],
    phase_seconds: dict[str, float],
    weights: str,
) -> None:
    """Samples, and the result of a cell that is done. weights: their digest."""
    parts: dict[str, Any] = {"phase_seconds": phase_seconds}
    cell = loaded.cell
    differing = confounds(cell, provenance["ranks"])
    if measured is not None:
        differing |= measured.model_confounds
        seconds = scored.seconds if scored else 0.0
        parts |= {
            "engagement": measured.engagement,
            "memory": measured.memory,
            "throughput": measured.throughput.model_copy(update={"evaluation_seconds": seconds}),
            "training": measured.training,
            "missing": measured.missing,
        }
    if scored is not None:
        write_rows(folder / SAMPLES, scored.samples)
        differing |= scored.confounds
        parts |= {
            "scores": list(scored.scores),
            "average": scored.average,
            "scores_of": scored.scores_of,
            "scores_from": scored.scores_from,
            "scores_not_taken": scored.not_taken,
            "engine": scored.engine,
        }
    result = new_result(
        cell,
        read_cell_record(folder),
        "done",
        weights_digest=weights,
        confounds=differing,
        provenance=provenance,
        **parts,
    )
    write_result(folder, result)


def write_scores(
    folder: Path,
    loaded: Loaded,
    earlier: CellResult,
    scored: Scored,
    provenance: dict[str, Any],
) -> None:
    """Samples, and the earlier result with the new scores in place of its own."""
    write_rows(folder / SAMPLES, scored.samples)
    throughput = earlier.throughput
    if throughput is not None:
        throughput = throughput.model_copy(update={"evaluation_seconds": scored.seconds})
    record = read_cell_record(folder)
    update = {
        "scores": list(scored.scores),
        "average": scored.average,
        "scores_of": scored.scores_of,
        "scores_from": scored.scores_from,
        "scores_not_taken": scored.not_taken,
        "engine": scored.engine,
        "confounds": _without(earlier.confounds, "evaluation.") | scored.confounds,
        "throughput": throughput,
        "identity": record.digest,
        "identity_components": record.components,
        "provenance": earlier.provenance | {"evaluated": provenance},
    }
    write_result(folder, earlier.model_copy(update=update))


def _without(confounds: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {key: value for key, value in confounds.items() if not key.startswith(prefix)}
