"""What every newer card must show: it does what it says, wherever state lives, and as it was planned.

Interruptions and hostile orders of copies are tried for all cards together, in tests/faults and in
test_hostile_schedules.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lwft_bench.training.engagement import judge
from tests.planning.test_plan import ARCHITECTURES, FULL, planned_and_accounted, small_cell
from tests.training.small_cards import small_cards
from tests.training.tiny import Run, assert_same, make_run, training

CARDS = small_cards()
NEWER = (
    "absignsgd",
    "block-sign-uniform",
    "misa",
    "bread-sgd",
    "bread-sgd-partial",
    "frugal",
    "chunkft",
    "blockllm",
)
STEPS = 9


def trained(folder: Path, name: str, place: str, **options: object) -> Run:
    card = CARDS[name].model_copy(update={"state_on_device": place})
    run = make_run(folder, card, training(STEPS, **card.training, **options))
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


@pytest.mark.parametrize("name", NEWER)
def test_engaged_and_the_same_wherever_state_lives(tmp_path: Path, name: str) -> None:
    resident = trained(tmp_path / "resident", name, "all")
    offloaded = trained(tmp_path / "offloaded", name, "none", update="in_backward")
    assert_same(resident.weights(), offloaded.weights())
    assert offloaded.assembly.store.device_bytes == 0
    assert offloaded.assembly.store.host_bytes == resident.assembly.store.device_bytes


@pytest.mark.parametrize("update", ["in_backward", "after_backward"])
@pytest.mark.parametrize("name", NEWER)
def test_planned_is_accounted_to_the_byte(name: str, update: str) -> None:
    cell = small_cell(CARDS[name], ARCHITECTURES["llama"], update=update)
    planned, accounted = planned_and_accounted(cell, FULL)
    assert planned == accounted
