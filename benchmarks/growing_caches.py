"""What a step of generation takes whose keys and values grow in place, beside transformers' own cache.

    OMP_NUM_THREADS=1 python benchmarks/growing_caches.py MODEL ROWS TURNS LENGTH [LENGTH...]

The cache has random keys and values of so many tokens a row, three of them padding; then twelve tokens
follow. Prints medians of processor time of a step, by turns, and their ratio with Student's interval
over turns.
"""

from __future__ import annotations

import logging
import sys
import time
from statistics import median
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from lwft_bench.evaluation.roomy_cache import make_room
from lwft_bench.models.loading import load_model
from lwft_bench.reporting.numbers.timing import Interval
from lwft_bench.schema.cell import ModelConfig

TOKENS = 12


def seconds_of_a_step(model: Any, rows: int, length: int, *, in_place: bool) -> float:
    config = model.config
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    cache = DynamicCache(config=config)
    if in_place:
        make_room(cache, long=1)
    for layer in range(config.num_hidden_layers):
        cache.update(*torch.randn(2, rows, config.num_key_value_heads, length, size), layer)
    mask = torch.ones(rows, length, dtype=torch.long)
    mask[:, :3] = 0
    started = 0.0
    for token in range(TOKENS + 1):
        if token == 1:  # the first one warms, and makes room
            started = time.process_time()
        mask = torch.cat([mask, mask.new_ones(rows, 1)], 1)
        model(
            input_ids=torch.full((rows, 1), 7),
            attention_mask=mask,
            position_ids=mask.sum(1, keepdim=True) - 1,
            past_key_values=cache,
            use_cache=True,
        )
    return (time.process_time() - started) / TOKENS


@torch.inference_mode()
def main() -> None:
    logging.disable(logging.WARNING)
    path, (rows, turns, *lengths) = sys.argv[1], map(int, sys.argv[2:])
    config = ModelConfig(name="model", path=path)
    model = load_model(config, dtype=torch.float32, attention="sdpa", seed=0).eval()
    print(
        "| tokens of a row | transformers', ms | in place, ms | ratio [95 %] |\n|---:|---:|---:|---:|"
    )
    for length in lengths:
        found: dict[bool, list[float]] = {False: [], True: []}
        for turn in range(turns):
            for in_place in (False, True) if turn % 2 == 0 else (True, False):
                found[in_place].append(seconds_of_a_step(model, rows, length, in_place=in_place))
        ratio = Interval.over(np.log(found[True]) - np.log(found[False]))
        low, high = (f"{bound:.2f}" if bound else "–" for bound in (ratio.low, ratio.high))
        copied, placed = (1000 * median(found[way]) for way in (False, True))
        print(
            f"| {length} | {copied:.1f} | {placed:.1f} | {ratio.mean:.2f} [{low}, {high}] |",
            flush=True,
        )


if __name__ == "__main__":
    main()
