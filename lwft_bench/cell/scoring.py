"""A cell's fourth step: the model is scored on the task's benchmarks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from lwft_bench.cell.loading import Loaded
from lwft_bench.cell.reuse import scored_alike
from lwft_bench.cell.shares import in_step
from lwft_bench.data.chat_template import ChatTemplate
from lwft_bench.evaluation.harness import evaluate
from lwft_bench.evaluation.not_finite import NotFinite
from lwft_bench.models.sharded import is_shared_out
from lwft_bench.schema.events import BenchmarkScored, Emit, seldom
from lwft_bench.schema.result import AnswerEngine, Score
from lwft_bench.schema.rows import SampleRow
from lwft_bench.training.errors import Diverged
from lwft_bench.training.ranks import ALONE, Ranks


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores, and the samples they are means of."""

    scores: tuple[Score, ...]
    samples: tuple[SampleRow, ...]
    seconds: float
    rows_together: str | None = None
    """Which prompts were answered at once; None: nothing was generated."""
    engine: AnswerEngine | None = None
    """What generated the answers; None: transformers."""
    scores_of: str | None = None
    """The cell whose scores these are, as it ended in the same weights; None: they are its own."""

    @property
    def confounds(self) -> dict[str, str]:
        """How the answers were made, where that could differ between methods."""
        found = {"evaluation.rows_together": self.rows_together}
        if self.engine is not None:
            found["evaluation.engine"] = f"{self.engine.name} {self.engine.version}"
        return {key: value for key, value in found.items() if value is not None}

    @property
    def average(self) -> float:
        """Unweighted mean over the benchmarks."""
        return sum(score.value for score in self.scores) / len(self.scores)


def score_or_reuse(
    loaded: Loaded, folder: Path, emit: Emit, weights: str, ranks: Ranks = ALONE
) -> Scored:
    """Takes the scores of a cell of the run that ended in the same weights; else evaluates.

    Args:
        weights: Their digest.

    Raises:
        Diverged: As `score`, and UserError too.
    """
    if not loaded.cell.method.trains:
        return score(loaded, emit, ranks)
    alike = scored_alike(loaded.cell, folder, weights) if ranks.rank == 0 else None
    if is_shared_out(loaded.model):
        alike = ranks.broadcast(alike)
    if alike is None:
        return score(loaded, emit, ranks)
    result, samples = alike
    for one in result.scores:
        emit(BenchmarkScored(one.benchmark, one.value))
    together = result.confounds.get("evaluation.rows_together")
    return Scored(
        tuple(result.scores), tuple(samples), 0.0, together, result.engine, scores_of=result.cell
    )


def score(loaded: Loaded, emit: Emit, ranks: Ranks = ALONE) -> Scored:
    """Evaluates the model as it is now; where ranks share it out, all of them do.

    Raises:
        Diverged: A log-likelihood or a logit is no number.
        UserError: A prompt and its answer do not fit into the model's context, or the engine cannot
            take the model.
    """
    cell = loaded.cell
    template = None
    if cell.task.chat_template:
        template = ChatTemplate(loaded.tokenizer, cell.task.chat_template_options)
    started = time.perf_counter()
    try:
        with in_step(loaded.model, ranks):
            evaluation = evaluate(
                loaded.model,
                loaded.tokenizer,
                loaded.items,
                cell.evaluation,
                seldom(emit),
                profile=cell.task.profile,
                template=template,
            )
    except NotFinite as error:
        raise Diverged(f"the model's answers are not finite: {error}") from error
    seconds = time.perf_counter() - started
    for one in evaluation.scores:
        emit(BenchmarkScored(one.benchmark, one.value))
    samples = (
        one.model_copy(update={"overlap": loaded.overlap.get(one.id)}) for one in evaluation.samples
    )
    return Scored(
        tuple(evaluation.scores),
        tuple(samples),
        seconds,
        evaluation.rows_together,
        evaluation.engine,
    )
