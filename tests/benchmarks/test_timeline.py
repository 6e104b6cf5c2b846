"""Offload on models and a device that are not here: memory accounted, time modelled."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.offload.modelled import DeviceModel, Update, least_exposed
from benchmarks.offload.timeline import step_time
from lwft_bench.dry_run.dry_run import dry_run
from lwft_bench.dry_run.steps import BatchShape
from lwft_bench.strategies.base import Needs
from tests.planning.shapes import LLAMA_2_7B, LLAMA_2_13B, LLAMA_2_70B, shaped_cell

PCIE_4 = DeviceModel(flops_per_second=150e12, bandwidth=25e9, memory_bandwidth=1.5e12)
BATCH = [BatchShape(4, 512, 1024)]
LAYER_BYTES = 4 * 202_383_360


@pytest.mark.parametrize("always_train", [[], ["embed", "head"]])
@pytest.mark.parametrize(
    "model",
    [
        pytest.param(LLAMA_2_7B, id="7B"),
        pytest.param(LLAMA_2_13B, id="13B", marks=pytest.mark.slow),
        pytest.param(LLAMA_2_70B, id="70B", marks=pytest.mark.slow),
    ],
)
def test_offloaded_state_needs_little_memory_whatever_the_model(
    model: dict[str, Any], always_train: list[str]
) -> None:
    cell = shaped_cell("grass", model, card={"always_train": always_train})
    found = dry_run(cell, [BatchShape(1, 64, 64)], [(3, 17)], Needs()).memory
    peaks = found.component_peaks
    assert 0 < peaks["staging"] + peaks.get("optimizer_state", 0) <= 0.14e9
    assert "optimizer_state" not in peaks


@pytest.mark.parametrize(
    ("update", "units"),
    [
        ("after_backward", (0, 31)),
        ("in_backward", (10, 20)),
        pytest.param("after_backward", (10, 20), marks=pytest.mark.slow),
        pytest.param("in_backward", (0, 31), marks=pytest.mark.slow),
    ],
)
def test_no_more_time_is_exposed_than_must_be(update: str, units: tuple[int, ...]) -> None:
    cell = shaped_cell("grass", update=update)
    found = step_time(cell, BATCH, units, PCIE_4)
    assert found.transferred_bytes == 2 * LAYER_BYTES
    assert found.least_exposed <= found.exposed <= 1.1 * found.least_exposed
    if update == "after_backward":  # the bound by hand: what is not staged, less the updates' time
        updates = 2 * LAYER_BYTES / 4 * 16 / PCIE_4.memory_bandwidth
        unstaged = (2 * LAYER_BYTES - 6 * 16 * 2**20) / PCIE_4.bandwidth
        assert found.least_exposed == pytest.approx(unstaged - updates, rel=0.02)


def test_resident_state_exposes_nothing() -> None:
    found = step_time(shaped_cell("grass-no-offload"), BATCH, (10, 20), PCIE_4)
    assert found.transferred_bytes == 0
    assert found.exposed == pytest.approx(0, abs=1e-9)
    assert found.memory.component_peaks["optimizer_state"] == 2 * LAYER_BYTES


def test_the_bound_by_hand() -> None:
    """Staging 10, bandwidth 1: of 30 bytes at once 20 come late; with pauses of 20 none does."""
    at_once = [Update(100.0, 0.0, 30)]
    assert least_exposed(at_once, 10, 1.0) == pytest.approx(20, rel=0.01)
    spread = [Update(100.0, 0.0, 10), Update(20.0, 0.0, 10), Update(20.0, 0.0, 10)]
    assert least_exposed(spread, 10, 1.0) == pytest.approx(0, abs=0.1)
    half = [Update(100.0, 0.0, 10), Update(5.0, 0.0, 10)]
    assert least_exposed(half, 10, 1.0) == pytest.approx(5, rel=0.02)
