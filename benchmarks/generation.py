"""How long evaluation by generation takes, against lm-eval's own on the same prompts and stops.

Both generate greedily with the same model in memory, by turns, and are timed in medians; loading and
one warming turn of each stand apart. `generation` compares what answers the requests
(`generate_until`), `whole` all that leads from items to scores (`simple_evaluate`). Then whether memory
grows, and whether responses depend on the batch size. Prints the numbers of docs/benchmarks.md:

    lwft-bench run arith --methods fft --seeds 0 --save-weights --out FOLDER
    OMP_NUM_THREADS=1 python benchmarks/generation.py FOLDER/cells/*/model

Without a model, the embedded one is taken; a second argument is the number of items (64).
"""

from __future__ import annotations

import logging
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import lm_eval
import torch
from datasets import Dataset
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from lwft_bench.data.benchmarks import BenchmarkConfig, load_benchmark
from lwft_bench.data.examples import Item
from lwft_bench.data.items import load_items
from lwft_bench.evaluation.harness import Evaluation, evaluate
from lwft_bench.evaluation.isolation import left_as_it_was
from lwft_bench.evaluation.language_model import ModelInMemory
from lwft_bench.models.loading import load_model, load_tokenizer
from lwft_bench.schema.cell import EvaluationConfig, ModelConfig, TaskConfig

TURNS = 5
BATCH_SIZES = (16, 64)
BENCHMARK = "grade-school"
MAX_NEW_TOKENS = 48


@dataclass(frozen=True)
class Setting:
    model: Any
    tokenizer: Any
    items: list[Item]


@dataclass
class Work:
    """What went through the model in one turn."""

    steps: int = 0
    """Of decoding, each for a whole batch."""
    tokens: int = 0
    """Rows times steps."""


def counted(model: Any, work: Work) -> Any:
    """A patch of the model's `generate` that counts."""
    generate = model.generate

    def counting(**options: Any) -> torch.Tensor:
        generated: torch.Tensor = generate(**options)
        steps = generated.shape[1] - options["input_ids"].shape[1]
        work.steps += steps
        work.tokens += steps * generated.shape[0]
        return generated

    return patch.object(model, "generate", counting)


def timed(turn: Callable[[], Any]) -> float:
    """Seconds of the processor: on one thread those of the clock, unless others keep it waiting."""
    started = time.process_time()
    turn()
    return time.process_time() - started


def compare(name: str, model: Any, ours: Callable[[], Any], theirs: Callable[[], Any]) -> None:
    """Prints a row: median seconds of both, and the median and range of the turns' ratios."""
    done = Work(), Work()
    for turn, work in zip((ours, theirs), done, strict=True):  # the warming turn
        with counted(model, work):
            turn()
    seconds = []
    for index in range(TURNS):
        pair = [timed(turn) for turn in ((ours, theirs) if index % 2 else (theirs, ours))]
        seconds.append(pair if index % 2 else pair[::-1])
    ratios = [mine / other for mine, other in seconds]
    mine, other = (statistics.median(column) for column in zip(*seconds, strict=True))
    print(
        f"| {name} | {mine:.2f} | {other:.2f} | {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f}) | {done[0].steps} | {done[1].steps} "
        f"| {done[0].tokens} | {done[1].tokens} |",
        flush=True,
    )


def task_of_lm_eval(benchmark: BenchmarkConfig, items: list[Item]) -> dict[str, Any]:
    """The benchmark with lm-eval's own filter and metric."""
    rows = Dataset.from_list([{"prompt": item.prompt, "answer": item.answer} for item in items])
    return {
        "task": "generation",
        "custom_dataset": lambda **_: {"test": rows},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "prompt",
        "doc_to_target": "answer",
        "num_fewshot": 0,
        "generation_kwargs": options_of(benchmark),
        "metric_list": [{"metric": "exact_match"}],
    }


def options_of(benchmark: BenchmarkConfig) -> dict[str, Any]:
    return {
        "until": [*benchmark.stop],
        "max_gen_toks": MAX_NEW_TOKENS,
        "do_sample": False,
        "temperature": 0.0,
    }


def requests_of(benchmark: BenchmarkConfig, items: list[Item]) -> list[Instance]:
    return [
        Instance("generate_until", {}, (item.prompt, options_of(benchmark)), index)
        for index, item in enumerate(items)
    ]


def rows(setting: Setting, stop: tuple[str, ...], batch_size: int) -> None:
    """Both comparisons with one rule and one batch size."""
    model, tokenizer, items = setting.model, setting.tokenizer, setting.items
    benchmark = load_benchmark(BENCHMARK).model_copy(update={"stop": stop})
    case = f"{'stops' if stop else 'no stop'}, batch {batch_size}"
    with left_as_it_was(model, tokenizer) as inner:
        mine = ModelInMemory(inner, tokenizer, batch_size, lambda: None)
        other = HFLM(pretrained=inner, tokenizer=tokenizer, batch_size=batch_size)
        compare(
            f"generation, {case}",
            model,
            lambda: mine.generate_until(requests_of(benchmark, items)),
            lambda: other.generate_until(requests_of(benchmark, items), disable_tqdm=True),
        )
    options = EvaluationConfig(batch_size=batch_size, max_new_tokens=MAX_NEW_TOKENS)
    with patch("lwft_bench.evaluation.harness.load_benchmark", lambda _: benchmark):
        compare(
            f"whole, {case}",
            model,
            lambda: evaluate(model, tokenizer, {BENCHMARK: items}, options),
            lambda: lm_eval.simple_evaluate(
                HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size),
                tasks=[task_of_lm_eval(benchmark, items)],
                task_manager=TaskManager(include_defaults=False),
                bootstrap_iters=0,
            ),
        )


def memory(setting: Setting) -> None:
    """Peak resident memory after each of several evaluations of the same items."""
    peaks = []
    for _ in range(2 * TURNS):
        responses(setting, 16)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    print("\npeak resident memory after each of several evaluations, MiB:", *peaks)


def precision(path: str, num_items: int) -> None:
    """How many responses depend on the batch size."""
    for dtype in (torch.float32, torch.bfloat16):
        setting = loaded(path, num_items, dtype)
        alone, together = responses(setting, 1), responses(setting, 64)
        pairs = list(zip(alone.samples, together.samples, strict=True))
        other = sum(one.response != two.response for one, two in pairs)
        right = alone.scores[0].value, together.scores[0].value
        print(
            f"{dtype}: {other} of {len(pairs)} responses differ between batch 1 and 64; "
            f"accuracy {right[0]:.3f} and {right[1]:.3f}"
        )


def responses(setting: Setting, batch_size: int) -> Evaluation:
    options = EvaluationConfig(batch_size=batch_size, max_new_tokens=MAX_NEW_TOKENS)
    return evaluate(setting.model, setting.tokenizer, {BENCHMARK: setting.items}, options)


def loaded(path: str, num_items: int, dtype: torch.dtype = torch.float32) -> Setting:
    config = ModelConfig(name="model", path=path)
    task = TaskConfig(
        name="generation",
        data="generated-arithmetic",
        train_examples=1,
        benchmarks=(BENCHMARK,),
        items_per_benchmark=num_items,
    )
    return Setting(
        load_model(config, dtype=dtype, attention="sdpa", seed=0),
        load_tokenizer(config),
        load_items(task, BENCHMARK),
    )


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    model_path = sys.argv[1] if len(sys.argv) > 1 else "embedded"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 64
    started = time.perf_counter()
    model_and_items = loaded(model_path, count)
    print(f"loading: {time.perf_counter() - started:.1f} s; {count} items\n")
    print("| | ours, s | lm-eval, s | ratio | steps | lm-eval's | tokens | lm-eval's |")
    print("|---|---:|---:|---|---:|---:|---:|---:|")
    for texts in (load_benchmark(BENCHMARK).stop, ()):
        for size in BATCH_SIZES:
            rows(model_and_items, texts, size)
    memory(model_and_items)
    precision(model_path, count)
