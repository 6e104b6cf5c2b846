"""Learning rate over the optimizer steps, whichever units are active."""

from __future__ import annotations

import math

from lwft_bench.schema.cell import TrainingConfig


def learning_rate(config: TrainingConfig, step: int) -> float:
    """The rate of step `step` (from 0).

    Warm-up: lr (step + 1) / warmup_steps. Then with progress p from 0 at the first step after it to
    1 after the last: constant; linear, lr (1 - p); cosine, lr (1 + cos(pi p)) / 2. No step of a
    linear or cosine schedule has rate zero.
    """
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    match config.schedule:
        case "constant":
            return config.lr
        case "linear":
            return config.lr * (1 - progress)
        case "cosine":
            return config.lr * (1 + math.cos(math.pi * progress)) / 2
