"""The trainer's trajectories: those of full fine-tuning, and the same by every way of working."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lwft_bench.schema.cell import ClipConfig
from lwft_bench.training.loss import DeviceBatch
from lwft_bench.training.schedule import learning_rate
from tests.training.tiny import (
    CPU,
    FAMILIES,
    Run,
    assert_same,
    full_fine_tuning,
    make_run,
    method,
    training,
)


@pytest.fixture(autouse=True)
def quick_bf16() -> Iterator[None]:
    """oneDNN compiles a bf16 kernel for each shape, which takes longer than these tiny products."""
    torch._C._set_mkldnn_enabled(False)
    yield
    torch._C._set_mkldnn_enabled(True)


LISA = {"strategy_num_active": 2, "strategy_period": 2, "always_train": ("embed", "head")}
GRASS = {"strategy_num_active": 2, "strategy_period": 2, "strategy_refresh": 4}


def trained(folder: Path, *arguments, **options) -> Run:
    run = make_run(folder, *arguments, **options)
    run.trainer.run()
    return run


def reference(run: Run, config) -> dict[str, torch.Tensor]:
    """Full fine-tuning by torch.optim.AdamW over the same batches and loss."""
    run.model.requires_grad_(True)
    optimizer = torch.optim.AdamW(run.model.parameters(), lr=1.0, weight_decay=0.0, fused=True)
    torch.manual_seed(0)
    for step in range(config.steps):
        batches = run.order.next_batch()
        num_targets = sum(batch.num_target_tokens for batch in batches)
        optimizer.zero_grad(set_to_none=True)
        for batch in batches:
            (run.assembly.loss(DeviceBatch.of(batch, CPU)) / num_targets).backward()
        optimizer.param_groups[0]["lr"] = learning_rate(config, step)
        optimizer.step()
    return run.weights()


@pytest.mark.parametrize(
    ("precision", "family"),
    [("float32", family) for family in FAMILIES] + [("bf16", "llama-tied"), ("bf16", "gpt2")],
)
def test_full_fine_tuning_is_adamw_bit_for_bit(tmp_path: Path, precision: str, family: str) -> None:
    config = training(precision=precision, dropout=False)
    expected = reference(make_run(tmp_path / "a", full_fine_tuning(), config, family), config)
    assert_same(trained(tmp_path / "b", full_fine_tuning(), config, family).weights(), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_all_layers_selected_is_full_fine_tuning(tmp_path: Path, family: str) -> None:
    card = method("lisa", strategy_num_active=4, strategy_period=2, always_train="all")
    config = training(dropout=False)
    ours = trained(tmp_path / "a", card, config, family)
    full = trained(tmp_path / "b", full_fine_tuning(), config, family)
    assert_same(ours.weights(), full.weights())


WAYS = {
    "in-backward": {"training": {"update": "in_backward"}},
    "in-backward-clip": {
        "training": {"update": "in_backward", "clip": ClipConfig(mode="unit", max_norm=0.1)}
    },
    "checkpointing": {"training": {"checkpointing": True}},
    "offload": {"method": {"state_on_device": "none"}},
    "budget": {"method": {"state_on_device": 20_000}},
    "small-buckets": {"method": {"state_on_device": "none"}, "training": {"bucket_bytes": 512}},
}
CASES = [("float32", family, way) for family in ("llama", "llama-tied", "gpt2") for way in WAYS]
CASES += [
    (precision, "llama-tied", way)
    for precision in ("bf16", "bf16-stochastic", "bf16-master")
    for way in ("in-backward", "checkpointing", "offload")
]


@pytest.mark.parametrize(("precision", "family", "way"), CASES)
def test_ways_of_working_do_not_change_numbers(
    tmp_path: Path, precision: str, family: str, way: str
) -> None:
    changes = WAYS[way].get("training", {})
    plain = training(precision=precision, clip=changes.get("clip", ClipConfig()))
    changed = training(precision=precision, **changes)
    card = method("lisa", **(LISA | WAYS[way].get("method", {})))
    first = trained(tmp_path / "a", method("lisa", **LISA), plain, family)
    second = trained(tmp_path / "b", card, changed, family)
    assert_same(first.weights(), second.weights())


def test_an_offloaded_run_moves_state_through_every_slot(tmp_path: Path) -> None:
    """The equality above is worth something only if state really went out and came back."""
    run = trained(tmp_path, method("lisa", **LISA, state_on_device="none"), training(steps=8))
    store = run.assembly.store
    assert store.device_bytes == 0
    assert store.host_bytes > 0
    selections = [set(row.units) for row in run.trainer.trace.selections]
    assert any(a != b for a, b in itertools.pairwise(selections))
    assert any(a & b for a, b in zip(selections, selections[2:], strict=False))
    buckets = store.groups["layer.0"].buckets
    assert sum(len(row) for row in buckets) >= 7
    assert all(t.abs().sum() > 0 for name, t in store.saved_tensors().items() if "avg" in name)


@pytest.mark.parametrize("strategy", ["lisa", "grass"])
def test_state_policies_differ(tmp_path: Path, strategy: str) -> None:
    options = LISA if strategy == "lisa" else GRASS
    runs = [
        trained(tmp_path / policy, method(strategy, **options, state_policy=policy), training(8))
        for policy in ("keep", "reset")
    ]
    kept, reset = (run.weights() for run in runs)
    assert any(not torch.equal(kept[name], reset[name]) for name in kept)


def test_micro_batches_are_the_batch_up_to_rounding(tmp_path: Path) -> None:
    """The loss is normalised over the optimizer step: targets are uneven over micro-batches."""
    config = training(steps=20, batch_size=6)
    split = training(steps=20, batch_size=6, micro_batch_size=2)
    whole = trained(tmp_path / "a", full_fine_tuning(), config).weights()
    parts = trained(tmp_path / "b", full_fine_tuning(), split).weights()
    assert max(float((whole[n] - parts[n]).abs().max()) for n in whole) < 0.05 * config.lr


def test_a_mean_of_means_is_another_loss(tmp_path: Path) -> None:
    """The test above must be able to fail: each micro-batch's own mean moves the weights further."""
    config = training(steps=20, batch_size=6)
    split = training(steps=20, batch_size=6, micro_batch_size=2)
    whole = trained(tmp_path / "a", full_fine_tuning(), config).weights()
    mutant = make_run(tmp_path / "b", full_fine_tuning(), split)
    loss = mutant.assembly.step.loss

    def mean_of_means(batch: DeviceBatch) -> torch.Tensor:
        return loss(batch) / batch.targets.numel() * total[0] / 3

    total = [0]
    step_run = mutant.assembly.step.run

    def run(batches, num_targets, lr, *tell):
        total[0] = num_targets
        step_run(batches, num_targets, lr, *tell)

    mutant.assembly.step.loss = mean_of_means
    mutant.assembly.step.run = run
    mutant.trainer.run()
    moved = mutant.weights()
    assert max(float((whole[n] - moved[n]).abs().max()) for n in whole) > 0.05 * config.lr
