"""Units that are measured without being trained, and selections that say whether state begins anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lwft_bench.planning.plan import Planner
from lwft_bench.schema.base import Named
from lwft_bench.strategies.base import Selection
from lwft_bench.strategies.selections import InvalidSelection, validate_selection
from lwft_bench.training.engagement import judge
from lwft_bench.training.errors import Interrupted
from tests.planning.shapes import shaped_cell
from tests.planning.test_plan import ARCHITECTURES, FULL, planned_and_accounted, small_cell
from tests.training.small_cards import small_cards
from tests.training.tiny import Run, assert_same, make_run, method, training

CARD = small_cards()["blockllm"]


def scripted(run: Run, selections: list[Selection]) -> list[np.ndarray]:
    """The trainer follows the script; returns what each window measured."""
    script, windows = iter(selections), []
    strategy = run.trainer._strategy
    strategy.select = lambda step: next(script)  # type: ignore[method-assign]
    strategy.observe = lambda window: windows.append(window.grad_rms)  # type: ignore
    run.trainer.run()
    return windows


def test_an_observed_unit_is_measured_and_keeps_its_bits(tmp_path: Path) -> None:
    card = method("lift", units="tensors", strategy_period=2)
    before = make_run(tmp_path / "a", card, training(4)).weights()
    run = make_run(tmp_path / "b", card, training(4))
    script = [Selection((8,), 2, observe=(3, 20)), Selection((8,), 2, restart=False)]
    first, second = scripted(run, script)
    assert np.isfinite(first[:, [3, 8, 20]]).all() and np.isnan(second[:, [3, 20]]).all()
    assert np.isfinite(first).sum() == 2 * 3 and np.isfinite(second).sum() == 2
    names = [next(iter(group.parameters)) for group in run.assembly.groups.units]
    after = run.weights()
    changed = {name for name in after if not (after[name] == before[name]).all()}
    assert changed == {names[8]}


def test_tensors_are_units_gains_and_the_final_norm_included(tmp_path: Path) -> None:
    run = make_run(tmp_path, method("lift", units="tensors"), training(1))
    groups = run.assembly.groups
    assert len(groups.units) == 4 * 9 + 1
    assert {len(group.parameters) for group in groups.units} == {1}
    assert groups.units[-1].kind == "final_norm" and "input_layernorm.weight" in {
        group.kind for group in groups.units
    }
    assert sorted(name.split(".")[-2] for name in groups.frozen) == ["embed_tokens", "lm_head"]
    mixed = make_run(tmp_path, method("lift", units=("embed", "modules", "head")), training(1))
    kinds = [group.kind for group in mixed.assembly.groups.units]
    assert (kinds[0], kinds[-1], len(kinds)) == ("embed", "head", 4 * 7 + 2)


@pytest.mark.parametrize(("restart", "age"), [(None, 2), (True, 2), (False, 6)])
def test_a_selection_says_whether_state_begins_anew(
    tmp_path: Path, restart: bool | None, age: int
) -> None:
    card = method("lift", units="tensors", state_policy="restart")
    run = make_run(tmp_path, card, training(6))
    scripted(run, [Selection((8,), 2, restart=restart) for _ in range(3)])
    steps = run.assembly.store.steps()
    assert {n for name, ages in steps.items() if "layer" in name for n in ages} == {age}
    verdict = judge(
        run.trainer.trace,
        run.assembly.groups,
        run.assembly.store,
        card,
        run.trainer.frozen_unchanged,
        selection_varies=False,
    )
    assert [check for check in verdict.checks if not check.passed] == []


def test_kept_state_cannot_be_cleared(tmp_path: Path) -> None:
    run = make_run(tmp_path, method("lift", strategy_period=2), training(4))
    with pytest.raises(InvalidSelection, match="restart is true"):
        scripted(run, [Selection((1,), 2, restart=True)] * 2)


@pytest.mark.parametrize(
    ("observe", "problem"), [((4,), "0..3"), ((1,), "are selected"), ((2, 2), "twice")]
)
def test_what_cannot_be_observed(observe: tuple[int, ...], problem: str) -> None:
    with pytest.raises(InvalidSelection, match=problem):
        validate_selection(Selection((1,), 1, observe=observe), 4)


@pytest.mark.parametrize("rule", ["paper", "package"])
def test_it_goes_on_where_it_was_stopped(tmp_path: Path, rule: str) -> None:
    options = CARD.strategy.options | {"rule": rule, "period": 1}
    card = CARD.model_copy(update={"strategy": Named(name="blockllm", **options)})
    config = training(12, lr=0.3)
    whole = make_run(tmp_path / "whole", card, config)
    whole.trainer.run()
    rows = whole.trainer.trace.selections
    assert any(row.observed for row in rows)
    if rule == "paper":
        assert len({row.units for row in rows}) > 1, "the loss stalls at this rate"
    for stop in (3, 5, 6, 7):
        folder = tmp_path / str(stop)
        with pytest.raises(Interrupted):
            make_run(folder, card, config, stop_when=lambda n, s=stop: n == s).trainer.run()
        resumed = make_run(folder, card, config)
        resumed.trainer.run()
        assert_same(resumed.weights(), whole.weights())
        assert resumed.trainer.trace.selections == rows


def test_planned_with_what_is_observed() -> None:
    for rule in ("paper", "package"):
        options = CARD.strategy.options | {"rule": rule}
        card = CARD.model_copy(update={"strategy": Named(name="blockllm", **options)})
        cell = small_cell(card, ARCHITECTURES["llama"])
        assert Planner(num_samples=1).draws(cell).observed
        planned, accounted = planned_and_accounted(cell, FULL)
        assert planned == accounted


def test_the_dearest_selection_of_a_budget_is_within_it() -> None:
    """Many small modules or a few large ones: never as many large ones as there were small."""
    cell = shaped_cell("misa")
    drawn = Planner(num_samples=1).draws(cell.model_copy(update={"training": cell.training}))
    units = Planner()._groups(cell)[0].seen_by_strategy()
    sizes = [sum(units[u].num_parameters for u in chosen) for chosen in drawn.selections]
    assert max(sizes) <= 0.03 * 6_738_415_616
