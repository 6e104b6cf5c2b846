"""bf16 weights swallow small updates: how much survives, by learning rate and rounding."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.tiny import full_fine_tuning, make_run, training


def share(folder: Path, precision: str, lr: float) -> float:
    config = training(steps=10, precision=precision, lr=lr, warmup_steps=0, schedule="constant")
    run = make_run(folder, full_fine_tuning(), config)
    with torch.no_grad():  # weights of the size of a pretrained model's
        for parameter in run.model.parameters():
            parameter.normal_(std=0.02)
    run.trainer.run()
    found = run.assembly.store.surviving_update_share()
    assert found is not None
    return found


@pytest.mark.parametrize("lr", [1e-6, 1e-5, 5e-5])
def test_bf16_loses_what_float32_keeps(tmp_path: Path, lr: float) -> None:
    lost = share(tmp_path / "a", "bf16", lr)
    assert share(tmp_path / "b", "float32", lr) > max(0.8, lost)
    assert share(tmp_path / "c", "bf16-stochastic", lr) != lost


def test_more_survives_at_a_larger_rate(tmp_path: Path) -> None:
    shares = [share(tmp_path / str(lr), "bf16", lr) for lr in (1e-6, 1e-5, 5e-5)]
    assert shares == sorted(shares)
