"""How long the answers of the default suite's benchmarks take: ours, lm-eval's own model, and generate.

    OMP_NUM_THREADS=1 python benchmarks/evaluation.py [MODEL] [ITEMS A BENCHMARK] [TURNS]

All answer the same prompts greedily with the same model in memory and the same stops, by turns,
in batches of the same size; plain generate ends at the end-of-sequence token alone and its texts are cut
at the stop afterwards. In `rows stay` they do not leave their batch as they end. CTranslate2, where it
is installed, converts the model anew in each turn. Prints medians of processor time, ratios to lm-eval's
with Student's interval over turns, and the share of answers that are ours. The whole evaluation, beside
other versions of this package, is `evaluation_versions.py`'s.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from statistics import median
from typing import Any

import numpy as np
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from lwft_bench.data.benchmarks import BenchmarkConfig, load_benchmark
from lwft_bench.data.examples import Item
from lwft_bench.data.items import load_items
from lwft_bench.evaluation.converted import converted_copy
from lwft_bench.evaluation.converted_model import ModelConverted
from lwft_bench.evaluation.isolation import left_as_it_was
from lwft_bench.evaluation.language_model import ModelInMemory
from lwft_bench.models.loading import load_model, load_tokenizer
from lwft_bench.reporting.numbers.timing import Interval
from lwft_bench.schema.cell import EvaluationConfig, ModelConfig, TaskConfig
from lwft_bench.suites.loading import load_suite

BATCH = EvaluationConfig().batch_size


def requests_of(items: dict[BenchmarkConfig, list[Item]]) -> list[Instance]:
    return [
        Instance(
            "generate_until",
            {},
            (
                item.prompt,
                {
                    "until": [*benchmark.stop],
                    "max_gen_toks": benchmark.max_new_tokens,
                    "do_sample": False,
                    "temperature": 0.0,
                },
            ),
            number,
        )
        for benchmark, its_items in items.items()
        for number, item in enumerate(its_items)
    ]


def plain(model: Any, tokenizer: Any, requests: list[Instance]) -> list[str]:
    """Batches sorted by length, longest first, as lm-eval has them."""
    order = sorted(
        range(len(requests)), key=lambda k: -len(tokenizer(requests[k].args[0]).input_ids)
    )
    answers = [""] * len(requests)
    for start in range(0, len(order), BATCH):
        part = order[start : start + BATCH]
        batch = tokenizer(
            [requests[k].args[0] for k in part],
            return_tensors="pt",
            padding=True,
            padding_side="left",
        )
        limit = max(requests[k].args[1]["max_gen_toks"] for k in part)
        with torch.inference_mode():
            found = model.generate(
                **batch,
                max_new_tokens=limit,
                do_sample=False,
                pad_token_id=tokenizer.pad_token_id,
            )
        texts = tokenizer.batch_decode(
            found[:, batch.input_ids.shape[1] :], skip_special_tokens=True
        )
        for k, text in zip(part, texts, strict=True):
            for stop in requests[k].args[1]["until"]:
                text = text.split(stop)[0]
            answers[k] = text
    return answers


def main() -> None:
    logging.disable(logging.WARNING)
    path = sys.argv[1] if len(sys.argv) > 1 else "embedded"
    number = int(sys.argv[2]) if len(sys.argv) > 2 else 84
    turns = int(sys.argv[3]) if len(sys.argv) > 3 else 10
    config = ModelConfig(name="model", path=path)
    model = load_model(config, dtype=torch.float32, attention="sdpa", seed=0)
    tokenizer = load_tokenizer(config)
    task: TaskConfig = (
        load_suite("arith").cells[0].task.model_copy(update={"items_per_benchmark": number})
    )
    items = {load_benchmark(name): load_items(task, name) for name in task.benchmarks}
    choices = choices_of(items)
    items = {one: its for one, its in items.items() if one.kind != "multiple_choice"}
    with left_as_it_was(model, tokenizer) as inner:
        ours = ModelInMemory(inner, tokenizer, BATCH, lambda: None)
        theirs = HFLM(pretrained=inner, tokenizer=tokenizer, batch_size=BATCH)
        stays = ModelInMemory(inner, tokenizer, BATCH, lambda: None)
        stays.rows_together = "any"
        larger = ModelInMemory(inner, tokenizer, 4 * BATCH, lambda: None)
        ways = {
            "lm-eval's own": lambda: theirs.generate_until(requests_of(items), True),
            "ours": lambda: ours.generate_until(requests_of(items)),
            "ours, rows stay": lambda: stays.generate_until(requests_of(items)),
            f"ours, batches of {4 * BATCH}": lambda: larger.generate_until(requests_of(items)),
            "plain generate": lambda: plain(inner, tokenizer, requests_of(items)),
        }
        if find_spec("ctranslate2"):
            ways["CTranslate2, converting"] = lambda: by_ctranslate2(inner, tokenizer, items, 0)
            ways["CTranslate2, and 32 compared"] = lambda: by_ctranslate2(
                inner, tokenizer, items, 32
            )
        compare(ways, turns)
        compare(
            {
                "lm-eval's own": lambda: best(choices, theirs.loglikelihood(choices, True)),
                "ours": lambda: best(choices, ours.loglikelihood(choices)),
            },
            turns,
        )


def by_ctranslate2(
    model: Any, tokenizer: Any, items: dict[BenchmarkConfig, list[Item]], num_compared: int
) -> list[str]:
    """As a cell has it: with the conversion, and with the answers that transformers gives too."""
    answering = ModelConverted(
        model,
        tokenizer,
        BATCH,
        lambda: None,
        generator=converted_copy(model),
        num_compared=num_compared,
    )
    return answering.generate_until(requests_of(items))


def choices_of(items: dict[BenchmarkConfig, list[Item]]) -> list[Instance]:
    """One request for each choice of each item; its number is the item's."""
    every = [item for its in items.values() for item in its if item.choices]
    return [
        Instance("loglikelihood", {}, (item.prompt, choice), number)
        for number, item in enumerate(every)
        for choice in item.choices
    ]


def best(choices: list[Instance], found: list[tuple[float, bool]]) -> list[str]:
    """The choice of each item that is most likely."""
    chosen: dict[int, tuple[float, str]] = {}
    for one, (value, _) in zip(choices, found, strict=True):
        chosen[one.idx] = max(chosen.get(one.idx, (-np.inf, "")), (value, one.args[1]))
    return [text for _, text in chosen.values()]


def compare(ways: dict[str, Callable[[], list[str]]], turns: int) -> None:
    answers = {way: run() for way, run in ways.items()}  # the warming turn
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(turns):
        for way in list(ways)[:: 1 if turn % 2 == 0 else -1]:
            started = time.process_time()
            ways[way]()
            seconds[way].append(time.process_time() - started)
    print(f"\n{len(answers['ours'])} answers, batches of {BATCH}, {turns} turns\n")
    print("| | s of processor | ÷ lm-eval's own [95 %] | answers as ours |")
    print("|---|---:|---:|---:|")
    reference = np.log(seconds["lm-eval's own"])
    for way, found in seconds.items():
        ratio = Interval.over(np.log(found) - reference)
        same = np.mean([a == b for a, b in zip(answers[way], answers["ours"], strict=True)])
        low, high = (f"{bound:.3f}" if bound else "–" for bound in (ratio.low, ratio.high))
        print(f"| {way} | {median(found):.2f} | {ratio.mean:.3f} [{low}, {high}] | {same:.1%} |")


if __name__ == "__main__":
    main()
