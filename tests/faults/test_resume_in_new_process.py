"""Every shipped method, stopped and gone on with in a new process, ends with the same weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lwft_bench.training.errors import Interrupted
from tests.training.go_on import outcome, start
from tests.training.small_cards import STRATEGY, small_cards

pytestmark = [pytest.mark.faults, pytest.mark.timeout(0)]

ROOT = Path(__file__).parents[2]
CARDS = small_cards()
MOMENTS = {
    "probing": 2,
    "before the first refresh, within a period": STRATEGY["probing_steps"] + 1,
    "at a period's end": STRATEGY["probing_steps"] + 2,
    "after a refresh": STRATEGY["probing_steps"] + STRATEGY["refresh"] + 1,
}
"""Steps done when a run is stopped, of a method that probes; of another it is all the later."""


@pytest.fixture(scope="module")
def gone_on(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Card -> moment -> outcome in one new process, from checkpoints written in this one."""
    folder = tmp_path_factory.mktemp("stopped")
    for name, card in CARDS.items():
        for moment, steps in MOMENTS.items():
            run = start(
                folder / name / moment, card, stop_when=lambda call, steps=steps: call == steps - 1
            )
            with pytest.raises(Interrupted):
                run.trainer.run()
    command = [sys.executable, "-m", "tests.training.go_on", str(folder)]
    return json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)


@pytest.mark.parametrize("name", CARDS)
def test_it_ends_as_if_never_stopped(
    tmp_path: Path, gone_on: dict[str, dict[str, Any]], name: str
) -> None:
    undisturbed = json.loads(json.dumps(outcome(start(tmp_path, CARDS[name]))))
    assert gone_on[name].keys() == MOMENTS.keys()
    for moment, ended in gone_on[name].items():
        assert ended == undisturbed, moment
