"""What becomes of optimizer state at a selection, and training without any unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lwft_bench.dry_run.dry_run import cost_class
from lwft_bench.schema.method import MethodConfig
from lwft_bench.strategies.selections import InvalidSelection
from lwft_bench.training.engagement import judge
from lwft_bench.training.errors import Interrupted
from tests.training.tiny import Run, make_run, method, training

PARTS = ("embed", "final_norm", "head")


def finished(folder: Path, card: MethodConfig, steps: int) -> Run:
    """After a run that does what it says."""
    run = make_run(folder, card, training(steps))
    run.trainer.run()
    verdict = judge(
        run.trainer.trace,
        run.assembly.groups,
        run.assembly.store,
        card,
        run.trainer.frozen_unchanged,
        selection_varies=run.trainer._strategy.varies,
    )
    assert [check for check in verdict.checks if not check.passed] == []
    return run


def updates(run: Run) -> dict[str, int]:
    """Updates that each group's state has seen; groups without state are left out."""
    steps = run.assembly.store.steps()
    assert all(len(set(counts)) == 1 for counts in steps.values())
    return {name: counts[0] for name, counts in steps.items() if counts[0]}


def everything(policy: str) -> MethodConfig:
    """All four layers are drawn anew every two steps."""
    return method(
        "lisa",
        strategy_num_active=4,
        strategy_period=2,
        always_train=PARTS,
        state_policy=policy,
        always_train_state_policy=policy,
    )


@pytest.mark.parametrize(("policy", "expected"), [("keep", 5), ("reset", 5), ("restart", 1)])
def test_units_selected_again(tmp_path: Path, policy: str, expected: int) -> None:
    """In the third period, of one step: only `restart` has begun anew."""
    names = [*(f"layer.{n}" for n in range(4)), *PARTS]
    run = finished(tmp_path, everything(policy), steps=5)
    assert updates(run) == dict.fromkeys(names, expected)


def test_restarting_moves_weights_as_the_first_step_does(tmp_path: Path) -> None:
    """Adam's first update is lr sign(g) wherever the gradient is not tiny; here it is the last."""
    card = method("badam", strategy_period=2, strategy_order="ascending", state_policy="restart")
    config = training(5, schedule="constant", warmup_steps=0)
    run = make_run(tmp_path / "after", card, config)
    earlier = make_run(tmp_path / "earlier", card, training(4, schedule="constant", warmup_steps=0))
    for one in (run, earlier):
        one.trainer.run()
    before, after = earlier.weights(), run.weights()
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert moved and all(".layers.2." in name for name in moved)
    steps = torch.cat([(after[name] - before[name]).abs().flatten() for name in moved])
    assert steps.median().item() == pytest.approx(config.lr, rel=1e-3)


@pytest.mark.parametrize("order", ["front-to-end", "end-to-front", "random"])
def test_lift_trains_layers_alike_and_nothing_else(tmp_path: Path, order: str) -> None:
    card = method("lift", strategy_period=2, strategy_order=order)
    before = make_run(tmp_path / "before", card, training(16)).weights()
    run = finished(tmp_path / "after", card, steps=16)
    assert updates(run) == {f"layer.{n}": 4 for n in range(4)}
    changed = {n for n, weight in run.weights().items() if not torch.equal(weight, before[n])}
    assert changed == {name for name in before if ".layers." in name}


def test_badam_begins_anew_with_each_block(tmp_path: Path) -> None:
    card = method("badam", strategy_period=3, state_policy="restart")
    run = finished(tmp_path, card, steps=13)
    (last,) = run.trainer.trace.selections[-1].units
    assert updates(run) == {f"layer.{last}": 1}


def lisa_updates(run: Run) -> tuple[dict[str, int], dict[str, int]]:
    """Of the layers, and of the always-trained parts."""
    counts = updates(run)
    layers = {name: count for name, count in counts.items() if name.startswith("layer")}
    return layers, {name: counts[name] for name in PARTS}


@pytest.mark.parametrize(
    ("always_policy", "expected"), [("keep", 9), ("restart", 1)], ids=["lisa-drop", "lisa-reset"]
)
def test_lisas_variants(tmp_path: Path, always_policy: str, expected: int) -> None:
    card = method(
        "lisa",
        strategy_num_active=2,
        strategy_period=2,
        always_train=PARTS,
        state_policy="restart",
        always_train_state_policy=always_policy,
    )
    run = finished(tmp_path, card, steps=9)
    layers, parts = lisa_updates(run)
    assert layers == {f"layer.{unit}": 1 for unit in run.trainer.trace.selections[-1].units}
    assert set(parts.values()) == {expected}


class TestNoUnits:
    CARD = method("no-units", always_train=PARTS)

    def test_only_the_parts_change(self, tmp_path: Path) -> None:
        before = make_run(tmp_path / "before", self.CARD, training(4)).weights()
        run = finished(tmp_path / "after", self.CARD, steps=4)
        changed = {n for n, weight in run.weights().items() if not torch.equal(weight, before[n])}
        assert changed == {name for name in before if ".layers." not in name}
        assert updates(run) == dict.fromkeys(PARTS, 4)
        assert run.trainer.trace.selections[0].units == ()

    def test_an_interruption_leaves_no_trace(self, tmp_path: Path) -> None:
        whole = finished(tmp_path / "whole", self.CARD, steps=4)
        with pytest.raises(Interrupted):
            make_run(
                tmp_path / "cut", self.CARD, training(4), stop_when=lambda step: step == 1
            ).trainer.run()
        resumed = finished(tmp_path / "cut", self.CARD, steps=4)
        for name, weight in whole.weights().items():
            assert torch.equal(weight, resumed.weights()[name])

    def test_it_is_refused_where_nothing_would_train(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidSelection, match="units is empty"):
            make_run(tmp_path, method("no-units"), training(4)).trainer.run()

    def test_its_steps_cost_less_than_any_layers(self) -> None:
        assert cost_class((), [5, 5]) > cost_class((1,), [5, 5])


def test_relative_gradient_norms_are_those_of_norms(tmp_path: Path) -> None:
    """|g| / |theta| of each layer, from the same probing step as `grass` has."""
    options: dict[str, Any] = {"strategy_probing_steps": 1, "strategy_period": 2}
    options |= {"strategy_refresh": 2}
    rgn = make_run(tmp_path / "rgn", method("rgn", **options), training(2))
    norms = [
        np.sqrt(sum(float(p.detach().double().square().sum()) for p in unit.parameters.values()))
        for unit in rgn.assembly.groups.units
    ]
    sizes = [unit.num_parameters for unit in rgn.assembly.groups.units]
    rgn.trainer.run()
    grass = finished(tmp_path / "grass", method("grass", **options), steps=2)
    mgn = np.array(grass.trainer.trace.selections[0].scores)
    expected = mgn * np.sqrt(sizes) / norms
    assert rgn.trainer.trace.selections[0].scores == pytest.approx(expected, rel=1e-6)
    assert rgn.trainer.trace.selections[0].ages == (0,) * 4
