"""The rule for units that are not selected: BREAD-SGD and FRUGAL against what they say."""

from __future__ import annotations

import itertools
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from lwft_bench.planning.plan import Planner, needed
from lwft_bench.schema.base import Named
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.units import UnselectedConfig
from lwft_bench.training.engagement import judge
from lwft_bench.training.errors import Interrupted
from lwft_bench.training.loss import DeviceBatch
from lwft_bench.training.schedule import learning_rate
from tests.planning.test_plan import ARCHITECTURES, FULL, small_cell
from tests.training.small_cards import small_cards
from tests.training.tiny import CPU, Run, assert_same, full_fine_tuning, make_run, method, training

CARDS = small_cards()
LR = 1e-2
CONSTANT = {"warmup_steps": 0, "schedule": "constant", "lr": LR, "dropout": False}


def bread(range_: str = "all", scale: float = 0.5, **options: Any) -> MethodConfig:
    rule = UnselectedConfig(optimizer=Named(name="sgd"), lr_scale=scale, range=range_)
    defaults = {"strategy_period": 3, "strategy_order": "random", "state_policy": "restart"}
    return method("badam", unselected=rule, **(defaults | options))


def trained(folder: Path, card: MethodConfig, steps: int, family: str = "llama", **options) -> Run:
    run = make_run(folder, card, training(steps, **(CONSTANT | options)), family)
    run.trainer.run()
    return run


def test_without_the_expansion_it_is_badam(tmp_path: Path) -> None:
    card = CARDS["bread-sgd"].model_copy(update={"unselected": None})
    badam = trained(tmp_path / "a", CARDS["badam"], 21)
    assert_same(trained(tmp_path / "b", card, 21).weights(), badam.weights())
    expanded = trained(tmp_path / "c", CARDS["bread-sgd"], 21).weights()
    assert any(not torch.equal(expanded[n], weight) for n, weight in badam.weights().items())


@pytest.mark.parametrize("range_", ["all", "deeper"])
def test_which_layers_move_in_a_step(tmp_path: Path, range_: str) -> None:
    before = trained(tmp_path / "0", bread(range_), 1).weights()
    for steps in range(2, 8):
        run = trained(tmp_path / str(steps), bread(range_), steps)
        (active,) = run.trainer.trace.selections[-1].units
        after = run.weights()
        moved = {
            int(name.split(".layers.")[1].split(".")[0])
            for name in after
            if not torch.equal(after[name], before[name])
        }
        assert moved == (set(range(4)) if range_ == "all" else set(range(active, 4)))
        before = after


@pytest.mark.parametrize("micro_batch_size", [None, 2])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_an_inactive_weight_takes_one_gradient_step(
    tmp_path: Path, family: str, micro_batch_size: int | None
) -> None:
    """Of the whole step's gradient, once, whatever the micro-batches."""
    settings = {"micro_batch_size": micro_batch_size}
    before = make_run(tmp_path / "a", bread(), training(1, **(CONSTANT | settings)), family)
    batches = before.order.next_batch()
    assert len(batches) == (1 if micro_batch_size is None else 2)
    num_targets = sum(batch.num_target_tokens for batch in batches)
    before.model.requires_grad_(True)
    for batch in batches:
        (before.assembly.loss(DeviceBatch.of(batch, CPU)) / num_targets).backward()
    run = trained(tmp_path / "b", bread(), 1, family, **settings)
    (active,) = run.trainer.trace.selections[0].units
    after = dict(run.model.named_parameters())
    inactive = [
        name
        for index, group in enumerate(run.assembly.groups.units)
        if index != active
        for name in group.parameters
    ]
    for name, parameter in before.model.named_parameters():
        if name in inactive:
            expected = parameter.detach() - 0.5 * LR * parameter.grad
            assert torch.allclose(after[name], expected, rtol=0, atol=1e-8), name


def test_inactive_layers_go_by_the_rate_of_the_step(tmp_path: Path) -> None:
    """Scaled down at first, nothing like Adam's: the rate's warm-up counts for them too."""
    config = training(4, lr=LR, warmup_steps=2, schedule="linear")
    card = CARDS["frugal"]
    weights = []
    for steps in range(5):
        stopped = make_run(
            tmp_path / str(steps), card, config, stop_when=lambda n, s=steps: n == s - 1
        )
        if steps:
            with suppress(Interrupted):
                stopped.trainer.run()
        weights.append(stopped)
    rates = [learning_rate(config, step) for step in range(4)]
    for step, (one, other) in enumerate(itertools.pairwise(weights)):
        row = [row for row in other.trainer.trace.selections if row.step <= step][-1]
        groups = other.assembly.groups.units
        still = [group for group in groups if group.unit not in row.units]
        assert len(still) == len(groups) - 7
        before, after = one.weights(), other.weights()
        for group in still:
            for name in group.parameters:
                moved = (after[name] - before[name]).abs()
                moved = moved[moved > 0]
                assert len(moved), "a gradient"
                assert moved.tolist() == pytest.approx([0.1 * rates[step]] * len(moved), rel=1e-2)


def test_a_rate_that_rises_after_each_selection(tmp_path: Path) -> None:
    card = CARDS["badam"].model_copy(update={"lr_warmup_after_selection": 4})
    card = card.model_copy(update={"strategy": Named(name="badam", order="random", period=6)})
    run = trained(tmp_path / "whole", card, 12)
    rates = [row.lr / LR for row in run.trainer.trace.steps]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1] * 2)
    config = training(12, **CONSTANT)
    with pytest.raises(Interrupted):
        make_run(tmp_path / "cut", card, config, stop_when=lambda n: n == 7).trainer.run()
    resumed = make_run(tmp_path / "cut", card, config)
    resumed.trainer.run()
    assert_same(resumed.weights(), run.weights())


class TestFrugal:
    def card(self, density: float, **changes: Any) -> MethodConfig:
        strategy = Named(name="frugal", density=density, period=2, order="random")
        return CARDS["frugal"].model_copy(update={"strategy": strategy} | changes)

    def test_at_density_one_it_is_adamw(self, tmp_path: Path) -> None:
        card = self.card(1.0, state_policy="keep")
        full = trained(tmp_path / "a", full_fine_tuning(), 20)
        assert_same(trained(tmp_path / "b", card, 20).weights(), full.weights())

    def test_at_density_zero_and_nothing_for_the_rest(self, tmp_path: Path) -> None:
        card = self.card(0.0, unselected=None)
        before = make_run(tmp_path / "a", card, training(1)).weights()
        after = trained(tmp_path / "b", card, 3).weights()
        still = {name for name in before if torch.equal(before[name], after[name])}
        assert still == {name for name in before if "_proj" in name}

    def test_at_density_zero_all_matrices_move_by_their_sign(self, tmp_path: Path) -> None:
        card = self.card(0.0)
        before = make_run(tmp_path / "a", card, training(1)).weights()
        after = trained(tmp_path / "b", card, 1).weights()
        for name in before:
            if "_proj" in name:
                moved = (after[name] - before[name]).abs()
                assert float(moved.max()) == pytest.approx(0.1 * LR, rel=1e-3)

    def test_every_active_counter_begins_anew(self, tmp_path: Path) -> None:
        run = trained(tmp_path, self.card(0.25), 21)
        counters = run.assembly.store.steps()
        units = [group.name for group in run.assembly.groups.units]
        assert {n for name in units if name in counters for n in counters[name]} == {1}
        assert {n for name in ("embed", "norms", "head") for n in counters[name]} == {21}
        selections = [set(row.units) for row in run.trainer.trace.selections]
        assert {len(units) for units in selections} == {7}
        again = [len(a & b) / 7 for a, b in itertools.pairwise(selections)]
        assert 0.1 < sum(again) / len(again) < 0.5, "a quarter, and not none"


@pytest.mark.parametrize("name", ["bread-sgd", "bread-sgd-partial", "frugal"])
def test_one_gradient_at_a_time_beside_those_of_the_selected(name: str) -> None:
    cell = small_cell(CARDS[name], ARCHITECTURES["llama"])
    drawn = Planner(num_samples=1).draws(cell)
    found = needed(cell, FULL, drawn, 0)
    planner = Planner()
    groups = planner._groups(cell)[0]
    own = 2 * max(found.active_parameters.maximum, 1)
    largest = 2 * max(p.numel() for group in groups.units for p in group.parameters.values())
    assert 0 < found.component_peaks["gradients"] <= own + largest
    everything = 2 * found.trained_parameters
    assert own + largest < everything, "all of them at once would be seen"


def test_a_rule_that_moves_nothing_is_found_out(tmp_path: Path) -> None:
    """As in bf16, where small steps are rounded away."""
    card = bread(scale=1e-12)
    run = trained(tmp_path, card, 4)
    verdict = judge(
        run.trainer.trace,
        run.assembly.groups,
        run.assembly.store,
        card,
        run.trainer.frozen_unchanged,
        selection_varies=True,
    )
    assert [check.name for check in verdict.checks if not check.passed] == ["unselected_move"]


def test_what_is_moved_survives_an_interruption(tmp_path: Path) -> None:
    config = training(6, precision="bf16-stochastic", **CONSTANT)
    whole = make_run(tmp_path / "whole", CARDS["frugal"], config)
    whole.trainer.run()
    cut = make_run(tmp_path / "cut", CARDS["frugal"], config, stop_when=lambda n: n == 2)
    with pytest.raises(Interrupted):
        cut.trainer.run()
    resumed = make_run(tmp_path / "cut", CARDS["frugal"], config)
    resumed.trainer.run()
    assert_same(resumed.weights(), whole.weights())
