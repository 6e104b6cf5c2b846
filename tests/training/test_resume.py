"""An interrupted run goes on to the same weights, wherever it was stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lwft_bench.schema.events import Noted
from lwft_bench.schema.method import MethodConfig
from lwft_bench.training.errors import Interrupted
from tests.training.tiny import Run, assert_same, full_fine_tuning, make_run, method, training

STEPS = 11
"""2 T_u + 3"""

METHODS: dict[str, MethodConfig] = {
    "fft": full_fine_tuning(),
    "lora": method("all", adapter={"name": "lora", "r": 2, "alpha": 4, "dropout": 0.1}),
    "lisa": method(
        "lisa", strategy_num_active=2, strategy_period=2, always_train=("embed", "head")
    ),
    "lisa-reset": method("lisa", strategy_num_active=2, strategy_period=2, state_policy="reset"),
    "ows-norm": method("ows-norm", strategy_num_active=2, strategy_period=3),
    "ows-outlier": method(
        "ows-outlier", strategy_num_active=2, strategy_period=3, strategy_tau=2.0
    ),
    "spectrum": method("spectrum", strategy_top_share=0.5),
    "ist": method(
        "ist", strategy_interval=3, adapter={"name": "lora", "r": 2, "alpha": 4, "dropout": 0.1}
    ),
    "hift": method(
        "hift",
        strategy_order="random",
        strategy_group_size=2,
        units=("embed", "layers", "head"),
        lr_clock="sweep",
    ),
    "grass-static": method(
        "grass-static", strategy_num_active=2, strategy_period=2, strategy_probing_steps=3
    ),
    "grass": method(
        "grass",
        strategy_num_active=2,
        strategy_period=2,
        strategy_probing_steps=3,
        strategy_refresh=4,
        state_on_device="none",
    ),
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    "every", [pytest.param(4, id="some"), pytest.param(1, id="all", marks=pytest.mark.slow)]
)
def test_stopped_at_any_step_it_goes_on_to_the_same_weights(
    tmp_path: Path, name: str, every: int
) -> None:
    """Every fourth step of each method, not the same ones for all; each step if there is time."""
    card, config = METHODS[name], training(steps=STEPS)
    undisturbed = make_run(tmp_path / "whole", card, config, "gpt2")
    undisturbed.trainer.run()
    probing = undisturbed.trainer.trace.probing_steps
    for stop in range([*METHODS].index(name) % every, STEPS + probing, every):
        folder = tmp_path / f"stopped-{stop}"
        first = make_run(folder, card, config, "gpt2", stop_when=lambda n, stop=stop: n == stop)
        with pytest.raises(Interrupted):
            first.trainer.run()
        second = make_run(folder, card, config, "gpt2")
        second.trainer.run()
        assert_same(second.weights(), undisturbed.weights())
        assert second.trainer.trace.selections == undisturbed.trainer.trace.selections
        assert second.trainer.trace.checksums == undisturbed.trainer.trace.checksums
        assert losses(second) == losses(undisturbed)


def losses(run: Run) -> list[float]:
    return [row.loss for row in run.trainer.trace.steps]


@pytest.mark.parametrize("name", ["fft", "grass"])
def test_checkpoints_do_not_grow_with_the_steps(tmp_path: Path, name: str) -> None:
    """Neither with those of one long period nor with the periods."""
    run = make_run(tmp_path, METHODS[name], training(steps=90, checkpoint_every=20))
    run.trainer.run()
    early, late = (
        json.loads((path / "checkpoint.json").read_text())
        for path in sorted(tmp_path.glob("checkpoint-*"))
    )
    run = make_run(tmp_path / "short", METHODS[name], training(steps=20))
    run.trainer.run()
    (path,) = (tmp_path / "short").glob("checkpoint-*")
    short = json.loads((path / "checkpoint.json").read_text())
    assert shape(short) == shape(early) == shape(late)


def shape(value: object) -> object:
    """What there is, without what it says."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    return len(value) if isinstance(value, list) else None


def test_the_last_two_checkpoints_are_kept(tmp_path: Path) -> None:
    run = make_run(tmp_path, full_fine_tuning(), training(steps=6, checkpoint_every=2))
    run.trainer.run()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["checkpoint-000004", "checkpoint-000006", "trace.jsonl"]


@pytest.mark.parametrize("damaged", [1, 2])
def test_damaged_checkpoints_cost_steps_and_change_no_weight(tmp_path: Path, damaged: int) -> None:
    """With both gone it begins anew."""
    card, config = METHODS["grass"], training(steps=STEPS, checkpoint_every=4)
    undisturbed = make_run(tmp_path / "whole", card, config, "gpt2")
    undisturbed.trainer.run()
    folder = tmp_path / "stopped"
    first = make_run(folder, card, config, "gpt2", stop_when=lambda n: n == 11)
    with pytest.raises(Interrupted):
        first.trainer.run()
    checkpoints = sorted(folder.glob("checkpoint-*"))
    for path in checkpoints[-damaged:]:
        file = path / "tensors.safetensors"
        content = bytearray(file.read_bytes())
        content[-5] ^= 16
        file.write_bytes(content)
    second = make_run(folder, card, config, "gpt2")
    told: list[object] = []
    second.trainer._hooks = replace(second.trainer._hooks, emit=told.append)
    second.trainer.run()
    assert_same(second.weights(), undisturbed.weights())
    notes = [event.text for event in told if isinstance(event, Noted)]
    assert len(notes) == damaged
    assert notes[0].startswith(
        f"{checkpoints[-1].name} is damaged (tensors.safetensors has another"
    )
