"""The verdict is right on honest runs, and each sabotage flips the check that is meant for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lwft_bench.schema.result import Engagement
from lwft_bench.strategies.base import Selection
from lwft_bench.training.engagement import judge
from tests.training.tiny import Run, full_fine_tuning, make_run, method, training

LISA = method("lisa", strategy_num_active=1, strategy_period=2, always_train=("embed", "head"))
RESET = method("lisa", strategy_num_active=1, strategy_period=2, state_policy="reset")


def verdict(run: Run, card=LISA, *, varies: bool = True) -> Engagement:
    run.trainer.run()
    return judge(
        run.trainer.trace,
        run.assembly.groups,
        run.assembly.store,
        card,
        run.trainer.frozen_unchanged,
        selection_varies=varies,
    )


def failed(engagement: Engagement) -> set[str]:
    return {check.name for check in engagement.checks if not check.passed}


@pytest.mark.parametrize("card", [LISA, RESET], ids=["keep", "reset"])
def test_an_honest_run_passes(tmp_path: Path, card) -> None:
    assert failed(verdict(make_run(tmp_path, card, training(8)), card)) == set()


def test_full_fine_tuning_passes(tmp_path: Path) -> None:
    card = full_fine_tuning()
    assert verdict(make_run(tmp_path, card, training(4)), card, varies=False).passed


def test_units_frozen_before_the_optimizer_knew_them(tmp_path: Path) -> None:
    """The first release of LISA trained only what was active when the optimizer was built."""
    run = make_run(tmp_path, LISA, training(8))
    store, update = run.assembly.store, run.assembly.store.update
    store.update = lambda name, index, lr: (  # type: ignore[method-assign]
        None if name.startswith("layer") else update(name, index, lr)
    )
    assert {"selected_change", "trained_parameters"} <= failed(verdict(run))


def test_zeroed_instead_of_absent_gradients(tmp_path: Path) -> None:
    """Adam keeps moving frozen units by their momentum when it sees zeros."""
    run = make_run(tmp_path, LISA, training(8))
    store, step = run.assembly.store, run.assembly.step
    finish = step._finish

    def finish_with_all() -> None:
        finish()
        for name, group in store.groups.items():
            if name.startswith("layer") and group.homes is not None:
                for index, parameter in enumerate(group.parameters):
                    if name not in step._updated:
                        parameter.grad = torch.zeros_like(parameter)
                        store.update(name, index, 1e-2)
                        parameter.grad = None

    step._finish = finish_with_all  # type: ignore[method-assign]
    assert "others_frozen" in failed(verdict(run))


def test_weight_decay_on_frozen_units(tmp_path: Path) -> None:
    run = make_run(tmp_path, LISA, training(8))
    finish = run.assembly.step._finish

    def decay() -> None:
        finish()
        with torch.no_grad():
            for group in run.assembly.groups.units:
                for parameter in group.parameters.values():
                    parameter.mul_(0.999)

    run.assembly.step._finish = decay  # type: ignore[method-assign]
    assert "others_frozen" in failed(verdict(run))


def test_state_that_is_never_restored(tmp_path: Path) -> None:
    """The card says `keep`; the trainer begins anew at each selection."""
    run = make_run(tmp_path, LISA, training(12))
    store, switch = run.assembly.store, run.assembly.store.switch

    def forget(leaving, starting) -> None:
        for name in leaving:
            store.groups[name].homes = None
            store.groups[name].steps = [0] * len(store.groups[name].parameters)
        switch(leaving, starting)

    store.switch = forget  # type: ignore[method-assign]
    assert {"state_memory", "state_age"} <= failed(verdict(run))


@pytest.mark.parametrize("place", ["all", "none"])
@pytest.mark.parametrize("moment", ["leaving", "taken up"])
def test_moments_that_are_lost_while_their_counters_go_on(
    tmp_path: Path, place: str, moment: str
) -> None:
    card = LISA.model_copy(update={"state_on_device": place})
    run = make_run(tmp_path, card, training(12))
    store, switch = run.assembly.store, run.assembly.store.switch

    def lose(leaving, starting) -> None:
        switch(leaving, starting)
        for name, tensor in store.saved_tensors().items():
            if name.partition("/")[0] in (leaving if moment == "leaving" else starting):
                tensor.zero_()

    store.switch = lose  # type: ignore[method-assign]
    assert failed(verdict(run, card)) == {"state_kept"}


def test_a_strategy_that_is_ignored(tmp_path: Path) -> None:
    """The trainer trains layer 0 whatever was selected."""
    run = make_run(tmp_path, LISA, training(8))
    trainer = run.trainer
    trainer._activate = lambda units: run.assembly.step.activate(  # type: ignore[method-assign]
        [run.assembly.groups.units[0], *run.assembly.groups.always]
    )
    store = run.assembly.store
    switch = store.switch
    store.switch = lambda leaving, starting: switch([], ["layer.0", *starting])  # type: ignore
    assert {"selected_change", "others_frozen"} <= failed(verdict(run))


def test_a_selection_that_never_changes(tmp_path: Path) -> None:
    run = make_run(tmp_path, LISA, training(8))
    strategy = run.trainer._strategy
    strategy.select = lambda step: Selection(units=[1], num_steps=2)  # type: ignore[method-assign]
    assert failed(verdict(run)) == {"selection_changes"}


def test_offload_that_leaves_state_on_the_device(tmp_path: Path) -> None:
    card = LISA.model_copy(update={"state_on_device": "none"})
    run = make_run(tmp_path, LISA, training(8))
    assert failed(verdict(run, card)) == {"state_memory"}
