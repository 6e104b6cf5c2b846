"""A benchmark and its items as a task of lm-eval."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from lm_eval.api.task import ConfigurableTask

from lwft_bench.data.benchmarks import BenchmarkConfig
from lwft_bench.data.examples import Item
from lwft_bench.data.extraction import COMPARISONS, Extraction, rule


def lm_eval_task(
    benchmark: BenchmarkConfig, items: Sequence[Item], max_new_tokens: int | None
) -> ConfigurableTask:
    """The task; its documents have the fields of an `Item`, with `choices` as a list."""
    documents = _Documents(
        {"id": item.id, "prompt": item.prompt, "answer": item.answer, "choices": [*item.choices]}
        for item in items
    )
    config: dict[str, Any] = {
        "task": benchmark.name,
        "custom_dataset": lambda **metadata: {"test": documents},
        "test_split": "test",
        "doc_to_text": "prompt",
        "doc_to_target": "answer",
        "target_delimiter": "",
        "num_fewshot": 0,
        "metric_list": [
            {"metric": benchmark.metric, "aggregation": "mean", "higher_is_better": True}
        ],
        "metadata": {"version": benchmark.version},
    }
    if benchmark.kind == "multiple_choice":
        config |= {"output_type": "multiple_choice", "doc_to_choice": "choices"}
    else:
        assert benchmark.extraction is not None
        extract = rule(benchmark.extraction, benchmark.pattern)
        config |= {
            "output_type": "generate_until",
            "generation_kwargs": {
                "until": [*benchmark.stop],
                "max_gen_toks": max_new_tokens,
                "do_sample": False,
                "num_beams": benchmark.num_beams,
            },
            "filter_list": [
                {
                    "name": benchmark.extraction,
                    "filter": [{"function": "custom", "filter_fn": partial(_extract, extract)}],
                }
            ],
            "process_results": partial(_compare, benchmark.metric),
        }
    return ConfigurableTask(config=config)


class _Documents(list[dict[str, Any]]):
    """What lm-eval asks of a data set, which takes longer to make than to go through."""

    features = dict.fromkeys(("id", "prompt", "answer", "choices"))


def _extract(
    extract: Extraction, responses: Sequence[Sequence[str]], documents: Sequence[dict[str, Any]]
) -> list[str | None]:
    """lm-eval's filter: the prediction of each document."""
    return [extract(response) for (response,) in responses]


def _compare(
    metric: str, document: dict[str, Any], predictions: Sequence[str | None]
) -> dict[str, float]:
    (prediction,) = predictions
    correct = prediction is not None and COMPARISONS[metric](prediction, document["answer"])
    return {metric: float(correct)}
