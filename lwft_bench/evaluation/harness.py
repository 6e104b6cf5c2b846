"""Scoring a model on benchmarks, through lm-eval, with every answer kept.

The model is the one in memory. Nothing is fetched, no built-in task of lm-eval is looked for, no
file is written, and model, tokenizer, random generators and logging are left as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lwft_bench.data.benchmarks import BenchmarkConfig, load_benchmark
from lwft_bench.data.chat_template import ChatTemplate
from lwft_bench.data.examples import Item
from lwft_bench.evaluation.context import require_room
from lwft_bench.schema.cell import EvaluationConfig, Profile
from lwft_bench.schema.result import AnswerEngine, Score
from lwft_bench.schema.rows import SampleRow

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

    from lwft_bench.evaluation.left_padding import Together


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores in the order the benchmarks were given, and the samples they are means of.

    rows_together: which prompts the model could answer at once without changing the answers; None:
    nothing was generated. engine: what generated the answers; None: transformers, or nothing.
    """

    scores: list[Score]
    samples: list[SampleRow]
    rows_together: Together | None = None
    engine: AnswerEngine | None = None


def evaluate(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    items: Mapping[str, Sequence[Item]],
    config: EvaluationConfig,
    on_progress: Callable[[int, int], None] | None = None,
    *,
    profile: Profile = "clean",
    template: ChatTemplate | None = None,
) -> Evaluation:
    """Score `model` on every benchmark, on the device it is on.

    All benchmarks run together: requests are sorted by length over all of them, so that few
    batches have much padding.

    Args:
        model: a transformers model, or one wrapped by peft.
        items: benchmark (a shipped name or the path of a definition) -> its items.
        on_progress: called with (requests answered, requests in all); a multiple-choice item has
            one request a choice.
        profile: the task's, with which the items were made.
        template: what the items' prompts are put into; None: they stay as they are.

    Raises:
        UserError: a prompt and its response do not fit into the model's context, or the engine cannot
            take the model.
    """
    import lm_eval.evaluator

    from lwft_bench.evaluation.isolation import left_as_it_was
    from lwft_bench.evaluation.language_model import ModelInMemory
    from lwft_bench.evaluation.lm_eval_tasks import lm_eval_task

    benchmarks = as_asked(items, profile, template)
    num_requests = sum(max(1, len(item.choices)) for name in items for item in items[name])
    progress = _Progress(num_requests, on_progress)
    with left_as_it_was(model, tokenizer) as inner_model:
        arguments = inner_model, tokenizer, config.batch_size, progress.advance
        if config.engine == "ctranslate2":
            from lwft_bench.evaluation.converted import converted_copy
            from lwft_bench.evaluation.converted_model import ModelConverted

            language_model: ModelInMemory = ModelConverted(
                *arguments,
                generator=converted_copy(model),
                num_compared=config.compared_answers,
            )
        else:
            language_model = ModelInMemory(*arguments)
        tasks = {}
        for benchmark, its_items in benchmarks.items():
            max_new_tokens = config.max_new_tokens or benchmark.max_new_tokens
            tasks[benchmark.name] = lm_eval_task(benchmark, its_items, max_new_tokens)
            require_room(benchmark, its_items, max_new_tokens, tokenizer, language_model.max_length)
        results = lm_eval.evaluator.evaluate(
            language_model, {"tasks": tasks, "groups": {}}, bootstrap_iters=0, log_samples=True
        )
    scores, samples = [], []
    for benchmark, its_items in benchmarks.items():
        clusters = {item.id: item.cluster for item in its_items}
        answered = [
            sample.model_copy(update={"cluster": clusters[sample.id]})
            for logged in results["samples"][benchmark.name]
            for sample in [_sample(benchmark, logged)]
        ]
        scores.append(score_of(benchmark, answered))
        samples.extend(answered)
    return Evaluation(scores, samples, language_model.rows_together, language_model.engine)


def as_asked(
    items: Mapping[str, Sequence[Item]], profile: Profile, template: ChatTemplate | None
) -> dict[BenchmarkConfig, Sequence[Item]]:
    """Definitions and items as `evaluate` has the model answer them. Arguments: as there."""
    benchmarks = {load_benchmark(name).under(profile): items[name] for name in items if items[name]}
    if template is None:
        return benchmarks
    return {
        benchmark.in_chat(template.end_of_turn, template.options): [
            template.item(item) for item in its_items
        ]
        for benchmark, its_items in benchmarks.items()
    }


def require_engine(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, config: EvaluationConfig, is_new: bool
) -> None:
    """Tries what is to generate answers on the model as it is now; transformers takes any.

    Args:
        is_new: Whether the weights have learnt nothing yet. Attention then hardly moves the logits, and
            a copy with other weights is tried.

    Raises:
        UserError: It cannot take the model.
    """
    if config.engine == "transformers":
        return
    from lwft_bench.evaluation.converted import converted_copy, with_noise
    from lwft_bench.evaluation.isolation import left_as_it_was

    with left_as_it_was(model, tokenizer):
        converted_copy(with_noise(model) if is_new else model)


def _sample(benchmark: BenchmarkConfig, logged: Mapping[str, Any]) -> SampleRow:
    document = logged["doc"]
    if benchmark.kind == "multiple_choice":
        log_likelihoods = [log_likelihood for log_likelihood, _ in logged["filtered_resps"]]
        response = document["choices"][log_likelihoods.index(max(log_likelihoods))]
        prediction: str | None = response
    else:
        ((response,),) = logged["resps"]
        (prediction,) = logged["filtered_resps"]
    return SampleRow(
        benchmark=benchmark.name,
        id=document["id"],
        prompt=document["prompt"],
        response=response,
        prediction=prediction,
        answer=document["answer"],
        correct=bool(logged[benchmark.metric]),
    )


def score_of(benchmark: BenchmarkConfig, samples: Sequence[SampleRow]) -> Score:
    """A benchmark's score: the mean over its samples, at least one."""
    n = len(samples)
    p = sum(sample.correct for sample in samples) / n
    return Score(
        benchmark=benchmark.name,
        version=benchmark.version,
        metric=benchmark.metric,
        value=p,
        stderr=(p * (1 - p) / max(n - 1, 1)) ** 0.5,
        num_items=n,
    )


class _Progress:
    def __init__(self, total: int, report: Callable[[int, int], None] | None) -> None:
        self._total = total
        self._report = report
        self._done = 0

    def advance(self) -> None:
        self._done += 1
        if self._report is not None:
            self._report(self._done, self._total)
