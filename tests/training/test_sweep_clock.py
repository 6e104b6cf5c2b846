"""A learning rate that moves on once in a pass over all units."""

from __future__ import annotations

from pathlib import Path

import pytest

from lwft_bench.schema.errors import UserError
from lwft_bench.training.errors import Interrupted
from lwft_bench.training.schedule import learning_rate
from tests.training.tiny import make_run, method, training

UNITS = ("embed", "layers", "head")
SWEEP = method("hift", units=UNITS, lr_clock="sweep")
NUM_UNITS = 6


def rates(run) -> list[float]:
    run.trainer.run()
    return [row.lr for row in run.trainer.trace.steps]


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_all_groups_of_a_sweep_have_the_rate_of_its_first_step(tmp_path: Path, schedule) -> None:
    config = training(20, schedule=schedule, warmup_steps=8)
    found = rates(make_run(tmp_path, SWEEP, config))
    expected = [learning_rate(config, step - step % NUM_UNITS) for step in range(20)]
    assert found == expected
    assert len(set(found)) == 4


def test_each_unit_is_updated_once_in_a_sweep(tmp_path: Path) -> None:
    run = make_run(tmp_path, SWEEP, training(3 * NUM_UNITS))
    run.trainer.run()
    assert {age for ages in run.assembly.store.steps().values() for age in ages} == {3}


def test_by_default_it_moves_on_at_each_step(tmp_path: Path) -> None:
    config = training(8)
    card = SWEEP.model_copy(update={"lr_clock": "step"})
    found = rates(make_run(tmp_path, card, config))
    assert found == [learning_rate(config, step) for step in range(8)]


def test_an_interruption_within_a_sweep_leaves_the_rate(tmp_path: Path) -> None:
    config = training(14)
    expected = rates(make_run(tmp_path / "whole", SWEEP, config))
    with pytest.raises(Interrupted):
        make_run(tmp_path / "cut", SWEEP, config, stop_when=lambda n: n == 8).trainer.run()
    assert rates(make_run(tmp_path / "cut", SWEEP, config)) == expected


def test_a_strategy_without_sweeps_is_refused(tmp_path: Path) -> None:
    card = method("lisa", lr_clock="sweep")
    with pytest.raises(UserError, match="lr_clock: sweep needs a strategy that passes over all"):
        make_run(tmp_path, card, training(4)).trainer.run()
