"""Optimizers without state: what they move, and that nothing is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lwft_bench.planning.plan import Planner, needed
from lwft_bench.plugins.registry import optimizers
from lwft_bench.schema.base import Named
from tests.planning.shapes import LLAMA_2_7B, shaped_cell
from tests.planning.test_plan import ARCHITECTURES, FULL, planned_and_accounted, small_cell
from tests.training.small_cards import small_cards
from tests.training.tiny import Run, assert_same, make_run, method, training


def card(name: str, **options: Any):
    return method(
        "absignsgd", optimizer=Named(name=name, **options.pop("optimizer", {})), **options
    )


def trained(folder: Path, name: str = "sign", steps: int = 6, **options: Any) -> Run:
    settings = options.pop("training", {})
    config = training(steps, warmup_steps=0, schedule="constant", **settings)
    run = make_run(folder, card(name, **options), config)
    run.trainer.run()
    return run


def test_every_element_moves_by_the_rate_or_not_at_all(tmp_path: Path) -> None:
    before = trained(tmp_path / "a", steps=3).weights()
    run = trained(tmp_path / "b", steps=4)
    (active,) = run.trainer.trace.selections[-1].units
    for name, weight in run.weights().items():
        moved = (weight - before[name]).abs()
        if f".layers.{active}." in name:
            still = moved == 0
            assert torch.allclose(moved[~still], torch.tensor(1e-2), rtol=1e-4, atol=1e-7)
            assert still.float().mean() < 0.1
        else:
            assert not moved.any()


def test_the_rules() -> None:
    weight = torch.tensor([1.0, -2.0, 3.0])
    gradient = torch.tensor([0.5, 0.0, -4.0])
    for name, expected in (("sign", [0.8, -1.8, 2.8]), ("sgd", [0.85, -1.8, 3.1])):
        rule_class = optimizers.get(name)
        updated = weight.clone()
        rule_class(rule_class.Options(weight_decay=1.0)).update(updated, gradient, {}, 1, 0.1)
        assert updated.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("name", ["sign", "sgd"])
@pytest.mark.parametrize("precision", ["float32", "bf16", "bf16-stochastic", "bf16-master"])
def test_wherever_state_would_be_the_weights_are_the_same(
    tmp_path: Path, name: str, precision: str
) -> None:
    settings = {"precision": precision}
    resident = trained(tmp_path / "a", name, training=settings)
    settings["update"] = "in_backward"
    offloaded = trained(tmp_path / "b", name, training=settings, state_on_device="none")
    assert_same(resident.weights(), offloaded.weights())
    kept = offloaded.assembly.store.host_bytes
    assert (kept > 0) == (precision == "bf16-master"), "only the float32 copies"
    share = resident.assembly.store.surviving_update_share()
    assert share is not None and share > (0.9 if precision == "float32" else 0.0)


def test_a_published_plan_has_no_state() -> None:
    planned = Planner(num_samples=1)
    cell = shaped_cell("absignsgd", LLAMA_2_7B, max_length=64)
    drawn = planned.draws(cell)
    assert "optimizer_state" not in needed(cell, FULL, drawn, 0).component_peaks


@pytest.mark.parametrize("precision", ["float32", "bf16", "bf16-stochastic", "bf16-master"])
def test_planned_is_accounted(precision: str) -> None:
    cell = small_cell(small_cards()["absignsgd"], ARCHITECTURES["llama"], precision=precision)
    planned, accounted = planned_and_accounted(cell, FULL)
    assert planned == accounted
