"""What the step needs on a model nobody here could load: LLaMA-2-7B's shape, in bf16."""

from __future__ import annotations

import pytest

from lwft_bench.dry_run.dry_run import MEASURING, PROBING, DryRun, dry_run
from lwft_bench.dry_run.steps import BatchShape
from lwft_bench.plugins.registry import strategies
from tests.planning.shapes import shaped_cell

LARGEST_IN_LAYER = 4096 * 11008 * 2
LARGEST = 32000 * 4096 * 2


def plan(method: str, selections: list[tuple[int, ...]], **training: object) -> DryRun:
    cell = shaped_cell(method, **training)
    card = cell.method
    strategy = strategies.get(card.strategy.name)
    needs = strategy(strategy.Options(**card.strategy.options)).needs
    return dry_run(cell, [BatchShape(4, 512, 1024)], selections, needs)


def test_updated_in_the_backward_pass_one_gradient_lives_at_a_time() -> None:
    found = plan("fft", [tuple(range(32))], update="in_backward").memory
    assert 0 < found.component_peaks["gradients"] <= LARGEST
    assert found.component_peaks["weights"] == pytest.approx(2 * 6.738e9, rel=1e-3)
    assert found.component_peaks["optimizer_state"] == pytest.approx(4 * 6.738e9, rel=1e-3)


def test_probing_needs_one_gradient_and_a_chunk() -> None:
    found = plan("grass", [(30, 31)], update="in_backward")
    assert found.memory.component_peaks["gradients"] <= LARGEST_IN_LAYER
    assert "optimizer_state" not in found.memory.component_peaks
    assert found.memory.component_peaks["staging"] <= 0.101e9
    assert found.flops[PROBING] > 0


def test_after_the_backward_pass_all_gradients_live_at_once() -> None:
    """The tests above can fail."""
    found = plan("fft", [tuple(range(32))], update="after_backward").memory
    assert found.component_peaks["gradients"] > 10 * LARGEST


def test_nothing_is_computed_below_the_lowest_layer() -> None:
    found = plan("grass", [(0, 1), (30, 31)]).flops
    low, high = (flops for kind, flops in sorted(found.items()) if kind != PROBING)
    assert low > 1.5 * high


def test_measuring_is_a_forward_pass_that_keeps_nothing() -> None:
    found = plan("ist", [tuple(range(8))])
    (step,) = (flops for kind, flops in found.flops.items() if kind != MEASURING)
    assert 0.3 < found.flops[MEASURING] / step < 0.6, "of a forward pass and one to the inputs"
    assert found.memory.phases["measure"] < 0.9 * found.memory.phases["forward"]
