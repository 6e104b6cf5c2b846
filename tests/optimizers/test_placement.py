"""Optimizers that cannot be cut anywhere: where their state lives changes no number."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lwft_bench.plugins.registry import optimizers
from lwft_bench.schema.base import Named
from lwft_bench.schema.errors import UserError
from lwft_bench.training.errors import Interrupted
from tests.training.tiny import Run, assert_same, make_run, method, training

SMALL = {
    "adamw8bit": {"min_8bit_size": 300},
    "galore": {"rank": 4, "update_proj_gap": 3},
    "apollo": {"rank": 4, "update_proj_gap": 3},
}
STEPS = 8


def made(
    folder: Path,
    name: str,
    on_device: str | int = "all",
    options: dict[str, object] | None = None,
    stop_at: int | None = None,
    **settings: object,
) -> Run:
    card = method(
        "lisa",
        strategy_num_active=2,
        strategy_period=2,
        always_train=("embed", "final_norm", "head"),
        optimizer=Named(name=name, **(SMALL[name] if options is None else options)),
        state_on_device=on_device,
    )
    config = training(STEPS, **({"bucket_bytes": 1024} | settings))
    return make_run(folder, card, config, stop_when=lambda step: step == stop_at)


def trained(folder: Path, name: str, on_device: str | int = "all", **settings: object) -> Run:
    run = made(folder, name, on_device, **settings)
    run.trainer.run()
    return run


def test_every_kind_is_here() -> None:
    kinds = {name: optimizers.get(name).kind for name in optimizers.names()}
    without_state = {name for name in kinds if optimizers.get(name).stateless}
    assert kinds.keys() - without_state == {"adamw", "adamw-closing", *SMALL}
    assert set(kinds.values()) == {"elementwise", "blockwise", "opaque"}


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("name", SMALL)
def test_offloaded_equals_resident(tmp_path: Path, name: str, precision: str) -> None:
    resident = trained(tmp_path / "all", name, precision=precision)
    for on_device, update in (("none", "in_backward"), (20_000, "after_backward")):
        folder = tmp_path / str(on_device)
        run = trained(folder, name, on_device, precision=precision, update=update)
        assert_same(run.weights(), resident.weights())
        assert run.assembly.store.host_bytes > 0
        assert (run.assembly.store.device_bytes > 0) == (on_device != "none")


@pytest.mark.parametrize("name", SMALL)
def test_the_size_of_buckets_changes_nothing(tmp_path: Path, name: str) -> None:
    small = trained(tmp_path / "a", name)
    assert_same(trained(tmp_path / "b", name, bucket_bytes=2**20).weights(), small.weights())


@pytest.mark.parametrize("name", SMALL)
def test_interrupted_and_resumed(tmp_path: Path, name: str) -> None:
    expected = trained(tmp_path / "a", name, "none")
    with pytest.raises(Interrupted):
        made(tmp_path / "b", name, "none", stop_at=4).trainer.run()
    resumed = trained(tmp_path / "b", name, "none")
    assert_same(resumed.weights(), expected.weights())


@pytest.mark.parametrize("name", SMALL)
def test_state_is_on_the_device_what_the_fields_say(tmp_path: Path, name: str) -> None:
    run = made(tmp_path, name)
    store = run.assembly.store
    store.switch([], list(store.groups))
    assert store.device_bytes == sum(group.state_bytes for group in store.groups.values())


@pytest.mark.parametrize(
    ("name", "options"),
    [("adamw8bit", {}), ("galore", {"rank": 128}), ("apollo", {"rank": 128})],
)
def test_an_optimizer_that_would_be_adamw_is_refused(
    tmp_path: Path, name: str, options: dict[str, object]
) -> None:
    with pytest.raises(UserError, match=f"optimizer '{name}': no parameter"):
        made(tmp_path, name, options=options)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "bitsandbytes.functional", None)
    with pytest.raises(UserError, match="needs the package bitsandbytes") as caught:
        made(tmp_path, "adamw8bit")
    assert caught.value.hint == "pip install 'lwft-bench[optimizers]'"


def test_parts_beside_the_layers_get_adamw(tmp_path: Path) -> None:
    """Of the embedding and the head GaLore keeps whole moments, though they are matrices."""
    groups = made(tmp_path, "galore").assembly.store.groups
    rules = {name: {rule.kind for rule in group.rules} for name, group in groups.items()}
    assert rules["embed"] == rules["head"] == rules["final_norm"] == {"elementwise"}
    assert rules["layer.0"] == {"opaque", "elementwise"}  # matrices and norms
    (embedding,) = groups["embed"].parameters
    assert groups["embed"].state_bytes == 2 * embedding.numel() * torch.float32.itemsize
