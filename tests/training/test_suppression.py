"""Importance by suppressed adapters, in real training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tests.training.tiny import make_run, method, training

DEAD = 2


def test_an_adapter_that_does_nothing_is_found_and_trained_less(tmp_path: Path) -> None:
    """A and B of one layer are zero and so stay zero: suppressing them changes no loss."""
    adapter = {"name": "lora", "r": 4, "alpha": 8}
    card = method("ist", adapter=adapter, strategy_interval=2, strategy_importance_lr=40.0)
    run = make_run(tmp_path, card, training(120, lr=2e-2, schedule="constant", warmup_steps=0))
    with torch.no_grad():
        for parameter in run.assembly.groups.units[DEAD].parameters.values():
            parameter.zero_()
    run.trainer.run()
    last = run.trainer.trace.selections[-1]
    assert last.scores[DEAD] == min(last.scores) < -0.05
    assert last.probabilities[DEAD] == min(last.probabilities) < 0.25


def test_exactly_the_selected_adapters_have_gradients(tmp_path: Path) -> None:
    card = method("ist", adapter={"name": "lora", "r": 2, "alpha": 4}, strategy_interval=3)
    run = make_run(tmp_path, card, training(9))
    windows = []
    run.trainer._strategy.observe = windows.append  # type: ignore[method-assign]
    run.trainer.run()
    seen = np.concatenate([window.grad_rms for window in windows])
    assert seen.shape == (9, 4)
    assert (np.isfinite(seen).sum(axis=1) == 1).all(), "a quarter of four layers"
    measured = [row.step for row in run.trainer.trace.measurements]
    assert measured == [3, 6]
