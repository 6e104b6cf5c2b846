"""The update on leaving: its size, when it is made, and that it is the same wherever state lives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lwft_bench.optimizers.closing import ClosingAdamW
from lwft_bench.schema.base import Named
from lwft_bench.schema.method import MethodConfig
from lwft_bench.state.simulated import SimulatedEngine
from lwft_bench.training.engagement import judge
from tests.planning.test_plan import ARCHITECTURES, FULL, planned_and_accounted, small_cell
from tests.training.tiny import Run, assert_same, make_run, method, training


def card(name: str = "adamw-closing", place: str = "all", policy: str = "reset") -> MethodConfig:
    return method(
        "lift",
        strategy_period=2,
        optimizer=Named(name=name),
        state_policy=policy,
        state_on_device=place,
    )


def trained(folder: Path, card: MethodConfig, steps: int = 8, **options: Any) -> Run:
    settings = {"warmup_steps": 0, "schedule": "constant", "bucket_bytes": 1024}
    engine = options.pop("engine", None)
    run = make_run(folder, card, training(steps, **(settings | options)), engine=engine)
    run.trainer.run()
    verdict = judge(
        run.trainer.trace,
        run.assembly.groups,
        run.assembly.store,
        card,
        run.trainer.frozen_unchanged,
        selection_varies=True,
    )
    assert [check for check in verdict.checks if not check.passed] == []
    return run


@pytest.mark.parametrize(("moments", "num_steps"), [("corrected", 9.0), ("uncorrected", 40.5)])
def test_of_a_constant_gradient(moments: str, num_steps: float) -> None:
    """beta1 / (1 - beta1) steps of size lr; uncorrected after 50 updates, 40.5 of them."""
    rule = ClosingAdamW(ClosingAdamW.Options(moments=moments))
    state = {f.name: torch.zeros(3) for f in rule.fields((3,), torch.float32)}
    weight, gradient = torch.zeros(3), torch.full((3,), 0.5)
    for step in range(1, 51):
        rule.update(weight, gradient, state, step, 1e-3)
    before = weight.clone()
    rule.leave(weight, state, 50, 1e-3)
    assert (before - weight).tolist() == pytest.approx([num_steps * 1e-3] * 3, rel=1e-3)


def test_it_is_made_when_state_is_cleared_and_else_not(tmp_path: Path) -> None:
    """Of layers 0 and 1, when 1 and 2 begin; layer 2 trains for its first step then."""
    closing = trained(tmp_path / "a", card(), steps=5).weights()
    plain = trained(tmp_path / "b", card("adamw"), steps=5).weights()
    differ = {name for name in plain if not torch.equal(plain[name], closing[name])}
    layers = {name.split(".layers.")[1][0] for name in differ}
    assert layers == {"0", "1", "2"}, "layer 2 because its gradient is of another model"
    kept = trained(tmp_path / "c", card(policy="keep"), steps=5).weights()
    unmoved = trained(tmp_path / "d", card("adamw", policy="keep"), steps=5).weights()
    assert_same(kept, unmoved)


@pytest.mark.parametrize("precision", ["float32", "bf16", "bf16-stochastic", "bf16-master"])
def test_wherever_state_lives(tmp_path: Path, precision: str) -> None:
    resident = trained(tmp_path / "a", card(), precision=precision)
    offloaded = trained(tmp_path / "b", card(place="none"), precision=precision)
    assert_same(resident.weights(), offloaded.weights())
    for seed in range(3):
        hostile = trained(
            tmp_path / str(seed),
            card(place="none"),
            precision=precision,
            engine=SimulatedEngine(seed),
        )
        assert_same(hostile.weights(), resident.weights())


def test_planned_is_accounted() -> None:
    for place in ("all", "none"):
        cell = small_cell(card(place=place), ARCHITECTURES["llama"])
        planned, accounted = planned_and_accounted(cell, FULL)
        assert planned == accounted
