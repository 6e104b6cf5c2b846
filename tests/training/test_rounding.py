"""Pure bf16 at a small learning rate loses updates, which is not a method that does not do its work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lwft_bench.training.engagement import judge
from lwft_bench.training.rounding import lost_periods
from tests.training.tiny import Run, full_fine_tuning, make_run, method, training

LISA = method("lisa", strategy_num_active=1, strategy_period=3, always_train=("final_norm",))
SMALL: dict[str, Any] = {"precision": "bf16", "lr": 1e-4, "schedule": "constant", "dropout": False}


def verdict(run: Run, card: Any, varies: bool) -> dict[str, Any]:
    run.trainer.run()
    groups, store = run.assembly.groups, run.assembly.store
    unchanged = run.trainer.frozen_unchanged
    judged = judge(run.trainer.trace, groups, store, card, unchanged, selection_varies=varies)
    return {
        check.name: check for check in judged.checks if not check.passed or "lost" in check.detail
    }


@pytest.mark.parametrize(("card", "periods"), [(LISA, 3), (full_fine_tuning(), 1)])
def test_a_gain_that_never_moves_is_told_and_fails_nothing(
    tmp_path: Path, card: Any, periods: int
) -> None:
    run = make_run(tmp_path, card, training(9, **SMALL))
    found = verdict(run, card, card is LISA)
    assert {name: check.passed for name, check in found.items()} == {"selected_change": True}
    assert "final_norm that rounding lost" in found["selected_change"].detail
    trace = run.trainer.trace
    assert lost_periods(trace, run.assembly.groups, run.assembly.store) == {"final_norm": periods}


def test_no_update_is_lost_where_the_type_can_hold_it(tmp_path: Path) -> None:
    run = make_run(tmp_path, LISA, training(9, **(SMALL | {"precision": "float32"})))
    assert verdict(run, LISA, True) == {}
    trace = run.trainer.trace
    assert lost_periods(trace, run.assembly.groups, run.assembly.store) == {}


def test_updates_that_were_not_made_are_no_rounding(tmp_path: Path) -> None:
    run = make_run(tmp_path, LISA, training(9, **SMALL))
    store, update = run.assembly.store, run.assembly.store.update
    store.update = lambda name, index, lr: (  # type: ignore[method-assign]
        None if name == "final_norm" else update(name, index, lr)
    )
    assert not verdict(run, LISA, True)["selected_change"].passed


def test_layers_that_stand_still_are_no_rounding(tmp_path: Path) -> None:
    """State that moves on is not enough: small weights of a matrix would show any update."""
    run = make_run(tmp_path, LISA, training(9, **SMALL))
    store, update = run.assembly.store, run.assembly.store.update

    def undone(name: str, index: int, lr: float) -> None:
        parameter = store.groups[name].parameters[index]
        before = parameter.detach().clone()
        update(name, index, lr)
        if name.startswith("layer"):
            parameter.data.copy_(before)

    store.update = undone  # type: ignore[method-assign]
    found = verdict(run, LISA, True)["selected_change"]
    assert not found.passed and "layer" in found.detail and "final_norm" not in found.detail
