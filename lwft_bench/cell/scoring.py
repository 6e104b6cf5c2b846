"""A cell's fourth step: the model is scored on the task's benchmarks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lwft_bench.cell.kept_scores import KeptAnswer, KeptScores, NotTaken, keep, take
from lwft_bench.cell.loading import Loaded
from lwft_bench.cell.outcomes import one_line
from lwft_bench.cell.provenance import now
from lwft_bench.cell.reuse import scored_alike
from lwft_bench.cell.score_key import score_facts
from lwft_bench.cell.shares import in_step
from lwft_bench.data.benchmarks import BenchmarkConfig
from lwft_bench.data.caches import scores_folder
from lwft_bench.data.chat_template import ChatTemplate
from lwft_bench.data.examples import Item
from lwft_bench.evaluation.harness import as_asked, evaluate, score_of
from lwft_bench.evaluation.not_finite import NotFinite
from lwft_bench.models.sharded import is_shared_out
from lwft_bench.results.reading import read_cell_record
from lwft_bench.schema.events import BenchmarkScored, Emit, Noted, seldom
from lwft_bench.schema.result import AnswerEngine, EarlierEvaluation, Score
from lwft_bench.schema.rows import SampleRow
from lwft_bench.schema.run import digest_of
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
    """The cell of the run whose scores these are, as it ended in the same weights; None: it is none."""
    scores_from: EarlierEvaluation | None = None
    """Where the scores were kept; None: nowhere."""
    not_taken: str | None = None
    """Why scores that were kept could not be taken."""

    @property
    def is_own(self) -> bool:
        """Whether the cell has answered itself."""
        return self.scores_of is None and self.scores_from is None

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
    loaded: Loaded,
    folder: Path,
    emit: Emit,
    weights: str,
    ranks: Ranks = ALONE,
    *,
    reuse: bool = True,
) -> Scored:
    """Takes the scores of an equal model that is evaluated alike; else evaluates.

    Of a model that was trained they are another cell's of the run, which ended in the same weights; of
    an untrained one those that any run has kept.

    Args:
        weights: Their digest.
        reuse: Whether scores are taken. Those of an untrained model are kept for others either way.

    Raises:
        Diverged: As `score`, and UserError too.
    """
    if not loaded.cell.method.trains:
        return _score_untrained(loaded, folder, emit, weights, ranks, reuse=reuse)
    alike = scored_alike(loaded.cell, folder, weights) if reuse and ranks.rank == 0 else None
    if is_shared_out(loaded.model):
        alike = ranks.broadcast(alike)
    if alike is None:
        return score(loaded, emit, ranks)
    result, samples = alike
    _tell(result.scores, emit)
    together = result.confounds.get("evaluation.rows_together")
    return Scored(
        tuple(result.scores), tuple(samples), 0.0, together, result.engine, scores_of=result.cell
    )


def _score_untrained(
    loaded: Loaded, folder: Path, emit: Emit, weights: str, ranks: Ranks, *, reuse: bool
) -> Scored:
    cell, place = loaded.cell, scores_folder()
    asked = as_asked(loaded.items, cell.task.profile, _template(loaded))
    files = read_cell_record(folder).components.get("model")
    facts = score_facts(loaded, weights, files, asked) if place is not None else None
    if place is None or facts is None:
        return score(loaded, emit, ranks)
    not_taken = None
    try:
        if reuse and (found := take(place, facts, asked)):
            emit(Noted(f"not evaluated: its answers were kept by {one_line(found[0].origin.run)}"))
            return _as_kept(loaded, asked, *found, emit)
    except NotTaken as error:
        not_taken = one_line(str(error))
        emit(Noted(f"scores that were kept of this model cannot be taken: {not_taken}"))
    scored = score(loaded, emit, ranks)
    origin = EarlierEvaluation(
        run=one_line(folder.resolve().parents[1].name)[:255],
        cell=cell.id,
        finished=now().isoformat(timespec="seconds"),
        seconds=scored.seconds,
        key=digest_of(facts),
    )
    answers = [
        KeptAnswer(**sample.model_dump(include=set(KeptAnswer.model_fields)))
        for sample in scored.samples
    ]
    kept = KeptScores(
        facts=facts,
        origin=origin,
        rows_together=scored.rows_together,
        engine=scored.engine,
        answers=answers,
    )
    keep(place, kept)
    return replace(scored, not_taken=not_taken)


def _as_kept(
    loaded: Loaded,
    asked: Mapping[BenchmarkConfig, Sequence[Item]],
    kept: KeptScores,
    samples: Sequence[SampleRow],
    emit: Emit,
) -> Scored:
    """The scores that evaluating would give."""
    scores = [
        score_of(benchmark, [one for one in samples if one.benchmark == benchmark.name])
        for benchmark in asked
    ]
    _tell(scores, emit)
    return Scored(
        tuple(scores),
        _with_overlap(samples, loaded),
        0.0,
        kept.rows_together,
        kept.engine,
        scores_from=kept.origin,
    )


def score(loaded: Loaded, emit: Emit, ranks: Ranks = ALONE) -> Scored:
    """Evaluates the model as it is now; where ranks share it out, all of them do.

    Raises:
        Diverged: A log-likelihood or a logit is no number.
        UserError: A prompt and its answer do not fit into the model's context, or the engine cannot
            take the model.
    """
    cell = loaded.cell
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
                template=_template(loaded),
            )
    except NotFinite as error:
        raise Diverged(f"the model's answers are not finite: {error}") from error
    seconds = time.perf_counter() - started
    _tell(evaluation.scores, emit)
    return Scored(
        tuple(evaluation.scores),
        _with_overlap(evaluation.samples, loaded),
        seconds,
        evaluation.rows_together,
        evaluation.engine,
    )


def _template(loaded: Loaded) -> ChatTemplate | None:
    task = loaded.cell.task
    if not task.chat_template:
        return None
    return ChatTemplate(loaded.tokenizer, task.chat_template_options)


def _with_overlap(samples: Iterable[SampleRow], loaded: Loaded) -> tuple[SampleRow, ...]:
    """With what is known of the cell's own training data."""
    return tuple(one.model_copy(update={"overlap": loaded.overlap.get(one.id)}) for one in samples)


def _tell(scores: Iterable[Score], emit: Emit) -> None:
    for one in scores:
        emit(BenchmarkScored(one.benchmark, one.value))
