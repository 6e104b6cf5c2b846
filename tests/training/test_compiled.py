"""Decoder layers compiled each by itself train as plain ones do, and selections compile nothing anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

from lwft_bench.cell.loading import load
from lwft_bench.cell.measurements import confounds
from lwft_bench.cell.measuring import measure
from lwft_bench.cell.training import train
from lwft_bench.schema.base import Named
from lwft_bench.schema.method import MethodConfig
from lwft_bench.suites.loading import Changes, load_suite
from lwft_bench.training import compiled
from lwft_bench.training.compiling import compile_ahead
from lwft_bench.training.ranks import ALONE
from tests.training.tiny import (
    Run,
    assert_same,
    examples,
    full_fine_tuning,
    make_run,
    method,
    training,
)

STEPS, LR = 12, 1e-3
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    # Of torch's own: dynamo asks for what torch has since deprecated.
    pytest.mark.filterwarnings("default"),
]


@pytest.fixture(autouse=True)
def nothing_compiled() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


@pytest.fixture
def traced_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers are traced and their graphs cut in two as ever, and run by torch's own kernels."""
    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")


def run_of(folder: Path, card: MethodConfig, **options: Any) -> Run:
    config = training(STEPS, lr=LR, dropout=False, **options)
    return make_run(folder, card, config, data=examples(40))


def trained(folder: Path, card: MethodConfig, **options: Any) -> tuple[list[float], Any]:
    run = run_of(folder, card, **options)
    run.trainer.run()
    return [row.loss for row in run.trainer.trace.steps], run.weights()


def num_graphs() -> int:
    return counters["stats"]["unique_graphs"]


LISA = method("lisa", strategy_num_active=1, strategy_period=2)


def test_inductors_steps_are_those_of_plain_layers(tmp_path: Path) -> None:
    """Over selections, with state that is streamed from the host."""
    card = LISA.model_copy(update={"state_on_device": "none"})
    losses, weights = trained(tmp_path / "plain", card)
    compiled_losses, compiled_weights = trained(tmp_path / "compiled", card, compile=True)
    assert num_graphs() > 0
    assert compiled_losses == pytest.approx(losses, abs=1e-4)
    worst = max(float((weights[name] - compiled_weights[name]).abs().max()) for name in weights)
    assert worst <= 0.01 * LR


@pytest.mark.parametrize(
    "options",
    [{}, {"batching": "packed"}, {"checkpointing": True}, {"update": "in_backward"}],
    ids=["plain", "packed", "checkpointed", "in_backward"],
)
@pytest.mark.usefixtures("traced_only")
def test_traced_steps_are_those_of_plain_layers(options: dict[str, Any], tmp_path: Path) -> None:
    losses, weights = trained(tmp_path / "plain", LISA, **options)
    traced_losses, traced_weights = trained(tmp_path / "traced", LISA, compile=True, **options)
    assert num_graphs() > 0
    assert traced_losses == pytest.approx(losses, abs=1e-5)
    worst = max(float((weights[name] - traced_weights[name]).abs().max()) for name in weights)
    assert worst <= 1e-3 * LR


@pytest.mark.usefixtures("traced_only")
def test_low_rank_adapters_are_compiled_too(tmp_path: Path) -> None:
    card = method("all", adapter=Named(name="lora", r=2, alpha=4))
    losses, weights = trained(tmp_path / "plain", card)
    traced_losses, traced_weights = trained(tmp_path / "traced", card, compile=True)
    assert num_graphs() > 0
    assert traced_losses == pytest.approx(losses, abs=1e-5)
    assert all(torch.allclose(traced_weights[name], weights[name], atol=1e-5) for name in weights)


@pytest.mark.usefixtures("traced_only")
def test_no_selection_compiles_anything(tmp_path: Path) -> None:
    """Once a layer was compiled for each way in which gradients pass it, and random streams stay."""
    run = run_of(tmp_path, LISA, compile=True)
    before, state = run.weights(), torch.get_rng_state()
    compile_ahead(run.assembly, run.order.longest_batch())
    assert_same(run.weights(), before)
    assert torch.equal(torch.get_rng_state(), state)
    ahead = num_graphs()
    assert ahead == 4
    run.trainer.run()
    chosen = {row.units for row in run.trainer.trace.selections}
    assert len(chosen) > 2
    assert num_graphs() == ahead


@pytest.mark.usefixtures("traced_only")
def test_gradients_come_a_layer_at_a_time(tmp_path: Path) -> None:
    """When a layer's hooks are called, no layer below has gradients; and each parameter has its call."""
    run = run_of(tmp_path, full_fine_tuning(), compile=True)
    groups, seen = run.assembly.groups, []
    depth_of = {p: group.depth for group in groups.units for p in group.parameters.values()}
    run.assembly.step.activate([*groups.units, *groups.always])

    def hook(parameter: torch.Tensor) -> None:
        below = [p for p, depth in depth_of.items() if depth < depth_of[parameter]]  # type: ignore[index]
        assert all(p.grad is None for p in below)
        seen.append(depth_of[parameter])  # type: ignore[index]

    for parameter in depth_of:
        parameter.register_post_accumulate_grad_hook(hook)
    run.trainer._batch_steps.preflight(run.order.longest_batch())
    assert sorted(seen) == sorted(depth_of.values())
    assert seen == sorted(seen, reverse=True)


@pytest.mark.usefixtures("traced_only")
def test_evaluation_is_not_compiled(tmp_path: Path) -> None:
    run = run_of(tmp_path, LISA, compile=True)
    run.model.eval()
    with torch.no_grad():
        run.model(input_ids=torch.arange(8)[None])
    run.model(input_ids=torch.arange(8)[None])
    assert num_graphs() == 0


@pytest.mark.usefixtures("traced_only")
def test_a_cell_says_why_its_memory_is_not_there(tmp_path: Path) -> None:
    changes = Changes(
        methods=("lisa",), seeds=(0,), settings=("training.compile=true", "training.steps=6")
    )
    (cell,) = load_suite("smoke", changes).cells
    loaded = load(cell, is_scored=False)
    measured = measure(loaded, train(loaded, tmp_path, lambda event: None, lambda: False, ALONE))
    assert measured.memory is None
    assert "compiled layers" in measured.missing["memory"]
    assert measured.throughput.flops_per_second
    assert confounds(cell, 1)["training.compile"] is True
